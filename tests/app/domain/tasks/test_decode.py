# SPDX-License-Identifier: AGPL-3.0-only
"""Parts of lanes: their numbers, and records that cannot be read or stored."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.history_events import (
    LANE,
    failed,
    loss,
    published,
    source_seen,
    started,
    succeeded,
)

from queuedeck.domain.tasks.decode import MAX_CHARS, MAX_NUMBER, batch_of
from queuedeck.errors import Invalid
from queuedeck.history.batches import Poison
from queuedeck_agent import wire


def raw(thing):
    return msgspec.Raw(wire.encode(thing))


def part(things, last=None, lane=LANE):
    return wire.LanePart(lane, len(things) if last is None else last, [raw(t) for t in things])


def decoded(thing):
    return batch_of(1, "agent", wire.LanePart(LANE, 1, [raw(thing)])).events[0]


def test_first_number_follows_from_the_last():
    batch = batch_of(1, "agent", part([source_seen(), started("t")], last=9))
    assert (batch.first, batch.last, batch.project_id) == (8, 9, 1)
    assert batch.events == [source_seen(), started("t")]


def test_a_loss_counts_for_the_numbers_it_stands_for():
    assert batch_of(1, "agent", part([started("t"), loss(10)], last=20)).first == 10


def test_a_loss_that_cannot_be_read_still_counts():
    spoilt = ["loss", "yesterday", 10, {}]
    batch = batch_of(1, "agent", part([started("t"), spoilt], last=20))
    assert isinstance(batch.events[1], Poison)
    assert batch.first == 10


def with_(event, **fields):
    return msgspec.structs.replace(event, **fields)


SPOILT = {
    "unknown kind": ["task-teleported", 1, "x"],
    "wrong type": ["task-started", "now"],
    "not an array": {"kind": "task-started"},
    "a number": 7,
    "time before the epoch": with_(started("t"), at_us=-1),
    "time beyond a database integer": with_(started("t"), at_us=2**63),
    "duration beyond a database integer": with_(succeeded("t"), run_us=2**64 - 1),
    "due time beyond": with_(published("t"), eta_us=MAX_NUMBER + 1),
    "attempt 0": with_(started("t"), attempt=0),
    "attempt of a billion": with_(started("t"), attempt=10**9),
    "no id": started(""),
    "no source": with_(started("t"), source=""),
    "id of a megabyte": started("t" * 1_000_000),
    "worker too long": started("t", worker="w" * (MAX_CHARS + 1)),
    "traceback of a megabyte": failed("t", traceback="x" * 1_000_000),
    "loss of nothing": loss(0),
    "loss of less": loss(-5),
}


@pytest.mark.parametrize("thing", SPOILT.values(), ids=SPOILT)
def test_a_record_that_cannot_be_stored_is_poison_for_one_number(thing):
    batch = batch_of(1, "agent", part([source_seen(), thing, started("t")]))
    good, spoilt, after = batch.events
    assert isinstance(spoilt, Poison)
    assert spoilt.error
    assert spoilt.raw == bytes(raw(thing))
    assert (good, after, batch.first) == (source_seen(), started("t"), 1)


def test_deeply_nested_bytes_are_poison():
    nested = msgspec.Raw(b"\x91" * 100_000 + b"\xc0")
    batch = batch_of(1, "agent", wire.LanePart(LANE, 1, [nested]))
    assert isinstance(batch.events[0], Poison)


@pytest.mark.parametrize(
    "bad",
    [
        part([], 0, lane="not hex"),
        part([], 0, lane="A" * 32),
        part([source_seen()] * 3, last=2),
        part([], last=-1),
        part([source_seen()], last=2**62),
    ],
)
def test_a_part_of_no_lane_is_refused(bad):
    with pytest.raises(Invalid):
        batch_of(1, "agent", bad)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_poison(data):
    batch = batch_of(1, "agent", wire.LanePart(LANE, MAX_NUMBER, [msgspec.Raw(data)]))
    assert len(batch.events) == 1
