# SPDX-License-Identifier: AGPL-3.0-only
"""Facts come back from their column as they were, and are small there."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.history_events import Dictionary, published, started, succeeded, uuid_of

from queuedeck.history.facts import (
    Cancelled,
    Failed,
    Lost,
    Published,
    Received,
    Retrying,
    Started,
    Succeeded,
    fact_of,
)
from queuedeck.history.sql.packed_facts import pack_fact, pack_facts, unpack_fact, unpack_facts
from queuedeck.history.states import key_of

KINDS = [Published, Received, Started, Retrying, Lost, Cancelled, Failed, Succeeded]
_VALUES = {
    int: st.integers(-1, 3) | st.integers(-(2**62), 2**62),
    str: st.sampled_from(["", ".", "id", "schön"]),
    bytes: st.sampled_from([b"", b"null", bytes(range(128))]),
    bool: st.booleans(),
}


def facts(kind):
    fields = {field.name: _VALUES[field.type] for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **fields | {"attempt": st.integers(1, 2**18)})


any_fact = st.one_of([facts(kind) for kind in KINDS])


@given(st.lists(any_fact, min_size=1))
def test_facts_come_back_as_they_were(some):
    known = {key_of(fact.attempt, fact.kind_no): fact for fact in some}
    assert unpack_facts(pack_facts(known)) == known


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_a_fact_comes_back_as_it_was(kind, data):
    fact = data.draw(facts(kind))
    found = unpack_fact(pack_fact(fact))
    assert found == fact
    assert type(found) is kind


def test_a_plain_task_is_small():
    """The structs as they are would take 100 bytes."""
    task, intern = uuid_of("t"), Dictionary()
    events = [
        published(task, args=b"{}", root_id=task, origin="7@web", routing_key="mail"),
        started(task, 900, published_us=published(task).at_us, pid=4242, root_id=task),
        succeeded(task, 100_900, run_us=100_000, worker="w1@host"),
    ]
    known = {fact.kind_no: fact for fact in (fact_of(event, intern) for event in events)}
    assert len(pack_facts(known)) <= 64
