# SPDX-License-Identifier: AGPL-3.0-only
"""What is remembered of the counts that agents send."""

import pytest
from tests.support.control import FakeClock

from queuedeck.clock import MINUTE_US, SECOND_US
from queuedeck.domain.queues import watch as module
from queuedeck.domain.queues.watch import MINUTES, Watches
from queuedeck_agent import wire

ONE, OTHER = "0123456789ab", "ba9876543210"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def watches(clock):
    return Watches(clock)


def take(watches, clock, waiting, *, name="mail", source=ONE, ahead_us=0, **more):
    """An agent whose clock is ahead counts."""
    depths = (wire.QueueDepth(name, waiting, **more),)
    watches.take(1, "a", wire.QueueSnapshot(clock() + ahead_us, source, depths))


def test_newest_count_is_kept_for_each_source_and_queue(watches, clock):
    take(watches, clock, 3)
    take(watches, clock, 5, source=OTHER)
    take(watches, clock, 4)
    depths = {key: seen.depth.waiting for key, seen in watches.queues(1).items()}
    assert depths == {(ONE, "mail"): 4, (OTHER, "mail"): 5}
    assert watches.queues(2) == {}


def test_series_has_the_greatest_count_of_each_minute(watches, clock):
    for waiting in (3, 9, 4):
        take(watches, clock, waiting)
    clock.advance(120)
    take(watches, clock, 2)
    series = watches.series(1, (ONE, "mail"))
    assert len(series) == MINUTES
    assert series[-3:] == [9, None, 2]
    assert set(series[:-3]) == {None}


def test_series_forgets_what_is_older_than_an_hour(watches, clock):
    take(watches, clock, 3)
    clock.advance(MINUTES * 60)
    take(watches, clock, 1)
    series = watches.series(1, (ONE, "mail"))
    assert [one for one in series if one is not None] == [1]


def test_unknown_count_leaves_a_gap(watches, clock):
    take(watches, clock, -1)
    assert set(watches.series(1, (ONE, "mail"))) == {None}


@pytest.mark.parametrize("ahead_s", [0, 3_600, -3_600], ids=["right", "ahead", "behind"])
def test_age_does_not_depend_on_the_clock_of_the_agent(watches, clock, ahead_s):
    ahead = ahead_s * SECOND_US
    oldest = clock() + ahead - 4 * MINUTE_US
    take(watches, clock, 3, ahead_us=ahead, oldest_us=oldest)
    assert watches.queues(1)[ONE, "mail"].oldest_us == clock() - 4 * MINUTE_US


def test_trouble_is_told_with_its_beginning_and_ends_with_a_count(watches, clock):
    take(watches, clock, 3)
    clock.advance(5)
    began = clock()
    for _ in range(2):
        watches.take(1, "a", wire.QueueSnapshot(clock(), ONE, (), "refused"))
        clock.advance(5)
    source = watches.source(1, ONE)
    assert (source.trouble, source.trouble_us) == ("refused", began)
    assert watches.queues(1)[ONE, "mail"].depth.waiting == 3
    take(watches, clock, 4)
    assert watches.source(1, ONE).trouble == ""


def test_queues_that_nobody_counts_go_after_a_day(watches, clock):
    take(watches, clock, 3, name="old")
    clock.advance(86_400)
    take(watches, clock, 3, name="new")
    assert set(watches.queues(1)) == {(ONE, "new")}


def test_memory_is_bounded(watches, clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_QUEUES", 3)
    for number in range(5):
        take(watches, clock, number, name=f"q{number}")
    take(watches, clock, 9, name="q2")
    assert [name for _, name in watches.queues(1)] == ["q3", "q4", "q2"]


def test_sources_are_bounded(watches, clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_SOURCES", 2)
    for source in ("a", "b", "a", "c"):
        take(watches, clock, 1, source=source)
    assert [bool(watches.source(1, source)) for source in "abc"] == [True, False, True]


def test_minutes_are_kept_by_hours_and_go_on_after_a_restart(watches, clock):
    for waiting in (3, 9, None, 4):
        if waiting is not None:
            take(watches, clock, waiting)
        clock.advance(60)
    later = Watches(clock)
    later.restore(watches.hours())
    assert later.series(1, (ONE, "mail")) == watches.series(1, (ONE, "mail"))
    take(later, clock, 7)
    assert later.series(1, (ONE, "mail"))[-5:] == [3, 9, None, 4, 7]
    assert later.queues(2) == {}


def test_last_minute_of_an_hour_is_kept_in_the_next(watches, clock):
    hour = 60 * MINUTE_US
    clock.advance((hour - clock() % hour) / SECOND_US - 60)
    take(watches, clock, 8)
    clock.advance(60)
    take(watches, clock, 2)
    kept = {one.hour - clock() // hour: one.waiting for one in watches.hours()}
    assert kept[-1][-1] == 8
    assert kept[0][0] == 2
