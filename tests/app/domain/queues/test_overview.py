# SPDX-License-Identifier: AGPL-3.0-only
"""When a queue would be empty: said only where events and counts agree."""

import pytest
from tests.support.history_events import (
    NOW_US,
    SOURCE,
    batch,
    published,
    retrying,
    source_seen,
    started,
    succeeded,
)

from queuedeck.clock import MINUTE_US
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.queues.overview import queue_lines
from queuedeck.domain.queues.watch import Watches
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck_agent import wire

OTHER = "ba9876543210"
LATER_US = NOW_US + 5 * MINUTE_US


class Place:
    def __init__(self, history):
        self.now = NOW_US
        self.history = history
        self.registry = AgentRegistry(lambda: self.now)
        self.watches = Watches(lambda: self.now)

    def counted(self, waiting, source=SOURCE):
        depth = (wire.QueueDepth("mail", waiting),)
        self.watches.take(1, "a", wire.QueueSnapshot(self.now, source, depth))

    async def record(self, *events, lane="a" * 32):
        await self.history.record([batch(list(events), lane=lane)])

    async def line(self):
        lines = await queue_lines(self.history, self.registry, self.watches, lambda: self.now, 1)
        return next(line for line in lines if line.source == SOURCE)


@pytest.fixture
async def place(tmp_path):
    history = SqliteHistory(tmp_path / "history.db", lambda: LATER_US)
    await history.open()
    yield Place(history)
    await history.close()


def flow(sent, ended):
    """So many tasks that were sent, of which so many ran, within four minutes."""
    for number in range(sent):
        yield published(f"t{number}", at=number)
    for number in range(ended):
        yield started(f"t{number}", at=MINUTE_US, queue="mail")
        yield succeeded(f"t{number}", at=2 * MINUTE_US)


async def after(place, before, now):
    """The line when the count was one number, and four minutes later another."""
    place.counted(before)
    place.now = NOW_US + 4 * MINUTE_US
    place.counted(now)
    return await place.line()


async def test_queue_that_falls_says_when_it_is_empty(place):
    await place.record(source_seen(), *flow(sent=10, ended=0))
    old = [started(f"o{n}", at=0, queue="mail") for n in range(40)]
    ended = [succeeded(f"o{n}", at=MINUTE_US) for n in range(40)]
    await place.record(*old, *ended, lane="c" * 32)
    line = await after(place, 90, 60)
    assert line.in_per_minute == pytest.approx(10 / 5, rel=0.2)
    assert line.out_per_minute == pytest.approx(40 / 5, rel=0.2)
    assert line.drain_s == pytest.approx(60 / (30 / 5) * 60, rel=0.2)
    assert line.grows_per_minute is None


async def test_queue_that_grows_says_so(place):
    await place.record(source_seen(), *flow(sent=50, ended=10))
    line = await after(place, 0, 40)
    assert line.drain_s is None
    assert line.grows_per_minute == pytest.approx(40 / 5, rel=0.2)


@pytest.mark.parametrize(
    ("sent", "ended", "before", "now"),
    [(50, 10, 40, 40), (50, 10, 50, 40), (50, 49, 39, 40), (2, 0, 0, 2), (0, 0, 50, 40)],
    ids=["count stands", "count falls", "noise", "too few", "no events"],
)
async def test_nothing_is_said_where_nothing_follows(place, sent, ended, before, now):
    await place.record(source_seen(), *flow(sent, ended))
    line = await after(place, before, now)
    assert (line.drain_s, line.grows_per_minute) == (None, None)


async def test_retries_go_out_and_come_in(place):
    retried = [retrying(f"t{n}", at=MINUTE_US) for n in range(20)]
    await place.record(source_seen(), *flow(sent=20, ended=0), *retried)
    line = await after(place, 0, 20)
    assert line.in_per_minute == 2 * line.out_per_minute > 0


async def test_flow_of_the_same_queue_on_another_broker_is_apart(place):
    await place.record(source_seen(), *flow(sent=50, ended=10))
    place.now += MINUTE_US
    place.counted(7, source=OTHER)
    lines = await queue_lines(place.history, place.registry, place.watches, lambda: place.now, 1)
    seen = {line.source: (line.waiting, line.in_per_minute > 0) for line in lines}
    assert seen == {SOURCE: (None, True), OTHER: (7, False)}


async def test_old_count_gives_no_estimate_and_says_why(place):
    await place.record(source_seen(), *flow(sent=50, ended=10))
    place.counted(0)
    place.now += MINUTE_US
    place.counted(40)
    place.now += MINUTE_US
    line = await place.line()
    assert (line.state, line.waiting) == ("stale", 40)
    assert line.why == "No agent of this broker is connected."
    assert line.grows_per_minute is None


async def test_percentile_of_the_wait_is_that_of_the_queue(place):
    await place.record(source_seen(), *flow(sent=20, ended=20))
    line = await after(place, 0, 0)
    assert line.wait_p95_us == pytest.approx(MINUTE_US, rel=0.05)
