# SPDX-License-Identifier: AGPL-3.0-only
"""Old days go in small steps, nothing of them stays, and nothing else changes meanwhile."""

import pytest
from tests.support.history_events import (
    NOW_US,
    batch,
    published,
    source_seen,
    started,
    succeeded,
    uuid_of,
)
from tests.support.history_retention import KEEP, TODAY, Retained, counted, found, life

from queuedeck.clock import DAY_US
from queuedeck.history.postgres import upkeep as drop
from queuedeck.history.sql import upkeep
from queuedeck.history.sql.days import TABLES, has_day, read_days


@pytest.fixture
def day(kind, monkeypatch):
    monkeypatch.setattr(upkeep, "DROP_ROWS", 7)
    monkeypatch.setattr(upkeep, "CARRY_ROWS", 7)
    monkeypatch.setattr(drop, "UNCOUNT_ROWS", 7)
    one = Retained(kind)
    yield one
    one.close()


def test_days_that_are_over_go_and_leave_nothing(day):
    for number in range(8):
        day.fill(number, 10)
    key = day.db.execute(f"SELECT {TODAY << 40} | n FROM task_{TODAY} WHERE state < 4").fetchone()
    day.writer.request_cancel(1, key[0])
    day.tidy()
    assert day.days() == [3, 4, 5, 6, 7]
    gone = {f"{table}_{TODAY + old}" for old in range(3) for table in TABLES}
    assert not gone & day.tables()
    assert not any(f"_{TODAY + old}" in name for name in day.tables() for old in range(3))
    for sql in (
        "SELECT id >> 40 FROM open_task",
        "SELECT task >> 40 FROM cancel_request",
        "SELECT day FROM usage",
    ):
        assert all(row[0] >= TODAY + 3 for row in day.db.execute(sql))
    assert counted(day.db) == found(day)


def test_dropping_goes_on_after_a_restart(day):
    for number in range(7):
        day.fill(number, 10)
    while not day.db.execute("SELECT count(*) FROM day WHERE dropping > 0").fetchone()[0]:
        assert day.writer.tidy(KEEP, 0)
    for _ in range(2):
        assert day.writer.tidy(KEEP, 0)
    day.writer.close()
    day.open()
    day.tidy()
    assert day.days() == [2, 3, 4, 5, 6]
    assert counted(day.db) == found(day)


def test_the_oldest_days_go_while_the_file_is_too_large(day):
    for number in range(8):
        day.fill(number, 200)
    size = day.db.dialect.used_bytes(day.db)
    day.tidy(1_000, size * 7 // 8)
    assert day.days()[-3:] == [5, 6, 7]
    assert 3 < len(day.days()) < 8
    assert day.db.dialect.used_bytes(day.db) <= size * 7 // 8


def test_days_that_are_searched_stay_whatever_is_asked(day):
    for number in range(6):
        day.fill(number, 10)
    day.tidy(1, 1)
    assert day.days() == [3, 4, 5]


def test_a_day_that_goes_is_out_of_sight_at_once(day):
    for number in range(6):
        day.fill(number, 10)
    while day.db.execute("SELECT max(dropping) FROM day").fetchone() == (0,):
        assert day.writer.tidy(KEEP, 0)
    assert day.kind.ask(read_days) == [TODAY + one for one in (5, 4, 3, 2, 1)]
    assert not day.kind.ask(lambda reader: has_day(reader, TODAY))


def test_events_about_open_tasks_of_a_day_that_goes_are_stored(day):
    for number in range(6):
        day.fill(number, 10)
    steps = 0
    while day.step():
        day.record([started(uuid_of("open 0"), day.at + steps)])
        steps += 1
    assert steps > 10
    assert day.days() == [1, 2, 3, 4, 5]
    assert counted(day.db) == found(day)


def test_a_clock_that_was_ahead_and_was_put_right_finds_its_tasks(day):
    day.fill(0, 1)
    day.at = 20 * DAY_US
    day.record([published(uuid_of("ahead"), day.at)])
    day.tidy(1_000)
    day.at = DAY_US // 2
    day.record([published(uuid_of("right"), 9)])
    day.record([succeeded(uuid_of("right"), 10)])
    rows = day.db.execute(f"SELECT count(*) FROM task_{TODAY} WHERE state = 4").fetchone()
    assert rows == (1,)


async def test_usage_says_what_each_day_holds(kind):
    clock = [NOW_US]
    store = kind.history(lambda: clock[0])
    await store.open()
    await store.record([batch([source_seen(), *life("a", 0), *life("b", 0)])])
    clock[0] += DAY_US
    events = life("c", DAY_US)
    await store.record([batch(events, 12)])
    first, second = await store.usage(1)
    assert (first.day, first.tasks, second.day, second.tasks) == (TODAY, 2, TODAY + 1, 1)
    assert first.bytes == 2 * second.bytes > 300
    assert await store.usage(2) == []
    await store.close()
