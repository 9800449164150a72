# SPDX-License-Identifier: AGPL-3.0-only
"""From a part of a frame to a committed group: futures, command results, topics, failures."""

import asyncio
from contextlib import aclosing

import msgspec
import pytest
from tests.support.control import history_at
from tests.support.history_events import (
    LANE,
    NOW_US,
    failed,
    loss,
    published,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.domain.tasks import ingest as ingest_module
from queuedeck.domain.tasks.ingest import ANY_TASK, Ingest
from queuedeck.errors import Conflict, Invalid, Unavailable
from queuedeck.history.filters import TaskFilter
from queuedeck.live import Live
from queuedeck_agent import wire

LANE_2 = "b" * 32
T = uuid_of("task")
DONE = wire.CommandDone(NOW_US, "c" * 32, "sent again", "new")


class Commands:
    """Remembers the results it was given; refuses when told to."""

    def __init__(self):
        self.applied = []
        self.error = None
        self.projects = set()

    async def apply(self, project_id, results):
        if self.error is not None and project_id in self.projects:
            raise self.error
        self.applied += [(project_id, result) for result in results]


class Watched:
    """A history store that counts groups and may be told to fail."""

    def __init__(self, history):
        self._history = history
        self.groups = []
        self.errors = []
        self.writing = 0
        self.most_writing = 0

    async def record(self, group):
        self.groups.append(group)
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        try:
            if self.errors:
                error = self.errors.pop(0)
                if error is not None:
                    raise error
            return await self._history.record(group)
        finally:
            self.writing -= 1

    def __getattr__(self, name):
        return getattr(self._history, name)


@pytest.fixture
async def store(place):
    history = history_at(place, lambda: NOW_US)
    await history.open()
    yield Watched(history)
    await history.close()


@pytest.fixture
def live():
    return Live()


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
async def ingest(store, live, commands):
    intake = Ingest(store, live, commands.apply)
    intake.start()
    yield intake
    await intake.stop()


def part(events, first=1, lane=LANE):
    count = sum(event.count if isinstance(event, wire.Loss) else 1 for event in events)
    return wire.LanePart(lane, first - 1 + count, [msgspec.Raw(wire.encode(e)) for e in events])


async def test_a_part_is_stored_and_its_future_says_how_far(ingest, store):
    recorded = await ingest.submit(1, "agent", part([source_seen(), published(T)]))
    assert recorded.committed == {LANE: 2}
    assert recorded.tasks == {1: {("celery", T)}}
    assert (await store.find_task(1, "celery", T)).row.state == "queued"


async def test_parts_that_come_together_share_a_group(ingest, store):
    parts = [part([source_seen(), started(uuid_of(x))], lane=x * 32) for x in "abcdef"]
    shares = await asyncio.gather(*(ingest.submit(1, "agent", one) for one in parts))
    assert len(store.groups) == 1
    assert [share.committed for share in shares] == [{x * 32: 2} for x in "abcdef"]


async def test_one_group_is_written_at_a_time_and_a_large_one_stands_ready(
    ingest, store, monkeypatch
):
    monkeypatch.setattr(ingest_module, "MAX_GROUP_EVENTS", 4)
    monkeypatch.setattr(ingest_module, "READY_EVENTS", 3)
    parts = [part([source_seen(), started(T), failed(T)], lane=f"{n:032x}") for n in range(9)]
    await asyncio.gather(*(ingest.submit(1, "agent", one) for one in parts))
    assert [group[0].lane for group in store.groups] == [one.lane for one in parts]
    assert store.most_writing == 2


async def test_a_small_group_grows_until_the_writer_is_free(ingest, store, monkeypatch):
    monkeypatch.setattr(ingest_module, "LINGER_S", 0)
    release, original = asyncio.Event(), store.record

    async def record(group):
        await release.wait()
        return await original(group)

    store.record = record
    parts = [part([source_seen()], lane=x * 32) for x in "abcd"]
    pending = [ingest.submit(1, "agent", parts[0])]
    while not ingest.is_behind:
        pending.append(ingest.submit(1, "agent", parts[len(pending)]))
        await asyncio.sleep(0.01)
    pending += [ingest.submit(1, "agent", one) for one in parts[len(pending) :]]
    release.set()
    await asyncio.gather(*pending)
    assert len(store.groups) == 2
    assert store.most_writing == 1


async def test_the_group_behind_one_that_failed_is_asked_for_again(ingest, store, monkeypatch):
    monkeypatch.setattr(ingest_module, "MAX_GROUP_EVENTS", 1)
    monkeypatch.setattr(ingest_module, "READY_EVENTS", 1)
    store.errors = [Unavailable("disk full")]
    lost = ingest.submit(1, "agent", part([source_seen()]))
    behind = ingest.submit(1, "agent", part([started(T)], first=2))
    with pytest.raises(Unavailable, match="disk full"):
        await lost
    assert ((await behind).committed, (await behind).expected) == ({}, {LANE: 0})


async def test_it_is_behind_while_parts_wait_for_the_writer(ingest, store, monkeypatch):
    monkeypatch.setattr(ingest_module, "MAX_GROUP_EVENTS", 1)
    behind, original = [], store.record

    async def record(group):
        behind.append(ingest.is_behind)
        return await original(group)

    store.record = record
    parts = [part([source_seen()], lane=x * 32) for x in "abc"]
    await asyncio.gather(*(ingest.submit(1, "agent", one) for one in parts))
    assert behind == [True, True, False]
    assert not ingest.is_behind


async def test_a_part_larger_than_a_group_is_a_group_of_its_own(ingest, store, monkeypatch):
    monkeypatch.setattr(ingest_module, "MAX_GROUP_EVENTS", 2)
    recorded = await ingest.submit(1, "agent", part([source_seen(), started(T), failed(T)]))
    assert recorded.committed == {LANE: 3}


async def test_a_part_out_of_order_is_asked_for_again(ingest):
    await ingest.submit(1, "agent", part([source_seen()]))
    early = await ingest.submit(1, "agent", part([started(T)], first=5))
    assert (early.committed, early.expected) == ({}, {LANE: 1})


async def test_a_lane_of_another_project_is_a_conflict(ingest, store):
    await ingest.submit(1, "agent", part([source_seen()]))
    mine = ingest.submit(1, "agent", part([started(T)], first=2))
    theirs = ingest.submit(2, "agent", part([source_seen(), started(T)]))
    assert (await mine).committed == {LANE: 2}
    with pytest.raises(Conflict, match="another project"):
        await theirs
    assert (await store.totals(2)).events == 0


async def test_a_part_that_makes_no_sense_is_refused_alone(ingest):
    bad = ingest.submit(1, "agent", wire.LanePart("nonsense", 1, []))
    good = ingest.submit(1, "agent", part([source_seen()]))
    with pytest.raises(Invalid):
        await bad
    assert (await good).committed == {LANE: 1}


async def test_poison_is_acknowledged_and_the_rest_lands(ingest, store):
    raws = [msgspec.Raw(wire.encode(e)) for e in (source_seen(), ["task-teleported"], started(T))]
    recorded = await ingest.submit(1, "agent", wire.LanePart(LANE, 3, raws))
    assert recorded.committed == {LANE: 3}
    totals = await store.totals(1)
    assert (totals.events, totals.quarantined) == (2, 1)
    assert (await store.find_task(1, "celery", T)).row.state == "running"


async def test_received_lost_and_spoilt_add_up_to_the_numbers(ingest, store):
    events = [source_seen(), loss(40), started(T), ["what"], loss(2)]
    raws = [msgspec.Raw(wire.encode(e)) for e in events]
    recorded = await ingest.submit(1, "agent", wire.LanePart(LANE, 45, raws))
    totals = await store.totals(1)
    assert totals.events + totals.lost + totals.quarantined == recorded.committed[LANE] == 45


async def test_results_of_commands_are_applied_before_they_are_stored(ingest, store, commands):
    seen = []

    async def record(group):
        seen.append(list(commands.applied))
        return await original(group)

    original, store.record = store.record, record
    await ingest.submit(1, "agent", part([source_seen(), DONE]))
    assert seen == [[(1, DONE)]]


async def test_results_that_cannot_be_applied_hold_back_their_project_only(ingest, store, commands):
    commands.error, commands.projects = RuntimeError("control is full"), {1}
    mine = ingest.submit(1, "agent", part([source_seen(), DONE]))
    theirs = ingest.submit(2, "agent", part([source_seen(), DONE], lane=LANE_2))
    assert (await theirs).committed == {LANE_2: 2}
    with pytest.raises(Unavailable, match="outcome of a command"):
        await mine
    assert await store.committed(1, [LANE]) == {LANE: 0}
    commands.error = None
    assert (await ingest.submit(1, "agent", part([source_seen(), DONE]))).committed == {LANE: 2}
    assert commands.applied == [(2, DONE), (1, DONE)]


async def test_a_store_that_cannot_write_fails_the_group_and_recovers(ingest, store):
    store.errors = [Unavailable("disk full")]
    with pytest.raises(Unavailable, match="disk full"):
        await ingest.submit(1, "agent", part([source_seen()]))
    assert (await ingest.submit(1, "agent", part([source_seen()]))).committed == {LANE: 1}


async def test_a_batch_that_breaks_the_store_does_not_hold_up_the_others(ingest, store):
    store.errors = [RuntimeError("a bug"), RuntimeError("a bug"), None]
    bad = ingest.submit(1, "agent", part([source_seen()]))
    good = ingest.submit(1, "agent", part([source_seen()], lane=LANE_2))
    assert (await good).committed == {LANE_2: 1}
    with pytest.raises(Unavailable, match="see its log"):
        await bad


async def heard(live, project_id, ingest, events):
    subscription = live.subscribe(project_id)
    await ingest.submit(1, "agent", part(events))
    subscription.add(frozenset({"end"}))
    async with aclosing(subscription.batches(0, 1)) as batches:
        return set(await anext(batches)) - {"end"}


async def test_topics_name_what_changed_after_the_commit(ingest, live):
    topics = await heard(live, 1, ingest, [source_seen(), published(T)])
    assert topics == {"tasks", f"task:celery:{T}"}


async def test_another_project_hears_nothing(ingest, live):
    assert await heard(live, 2, ingest, [source_seen(), published(T)]) == set()


async def test_a_large_group_names_no_single_tasks(ingest, live, monkeypatch):
    monkeypatch.setattr(ingest_module, "MAX_TASK_TOPICS", 2)
    events = [source_seen(), *(published(uuid_of(str(n))) for n in range(3))]
    assert await heard(live, 1, ingest, events) == {"tasks", ANY_TASK}


async def test_stop_stores_what_was_submitted_and_refuses_the_rest(store, live, commands):
    intake = Ingest(store, live, commands.apply)
    intake.start()
    parts = [part([source_seen(), succeeded(T)], lane=x * 32) for x in "abc"]
    pending = [intake.submit(1, "agent", one) for one in parts]
    await intake.stop()
    assert [future.result().committed for future in pending] == [{x * 32: 2} for x in "abc"]
    with pytest.raises(Unavailable, match="stopping"):
        await intake.submit(1, "agent", parts[0])


async def test_a_link_that_is_gone_does_not_disturb_the_group(ingest, store):
    gone = ingest.submit(1, "agent", part([source_seen()]))
    stays = ingest.submit(1, "agent", part([source_seen()], lane=LANE_2))
    gone.cancel()
    assert (await stays).committed == {LANE_2: 1}
    assert (await store.list_tasks(1, TaskFilter(), 1)).tasks == []
