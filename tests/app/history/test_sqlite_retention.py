# SPDX-License-Identifier: AGPL-3.0-only
"""Old days go in small steps, nothing of them stays, and nothing else changes meanwhile."""

import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest
from tests.support.history_events import (
    LANE,
    NOW_US,
    batch,
    failed,
    published,
    retrying,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.clock import DAY_US
from queuedeck.history.records import TaskFilter
from queuedeck.history.sql import upkeep
from queuedeck.history.sql.days import TABLES, has_day, read_days
from queuedeck.history.sql.writer import Writer
from queuedeck.history.sqlite import upkeep as space
from queuedeck.history.sqlite.schema import open_reader, open_writer
from queuedeck.history.sqlite.store import SqliteHistory

TODAY = NOW_US // DAY_US
KEEP = 5


def life(name, at):
    """Ends in every way, with payloads apart and a contradiction."""
    task_id = uuid_of(name)
    return [
        published(task_id, at, args=b'{"args":[1]}', sealed=b"0a1b2c3dx"),
        started(task_id, at + 1),
        started(task_id, at + 2, worker="w2@host"),
        retrying(task_id, at + 3, traceback="T"),
        (failed if len(name) % 2 else succeeded)(task_id, at + 4, attempt=2),
    ]


class Day:
    """A writer that is moved from day to day."""

    def __init__(self, path):
        self.at = 0
        self.writer = Writer(open_writer(path), lambda: NOW_US + self.at)
        self.db = self.writer.db
        self._next = 1
        self.record([source_seen()])

    def record(self, events):
        self.writer.record([batch(events, self._next)])
        self._next += len(events)

    def fill(self, day, tasks):
        self.at = day * DAY_US
        self.record([e for n in range(tasks) for e in life(f"{day}/{n}", self.at)])
        self.record([published(uuid_of(f"open {day}"), self.at)])

    def tidy(self, keep=KEEP, max_bytes=0):
        steps = 0
        while self.writer.tidy(keep, max_bytes):
            steps += 1
            assert steps < 2_000
        return steps

    def days(self):
        return [row[0] - TODAY for row in self.db.execute("SELECT day FROM day ORDER BY day")]

    def tables(self):
        return {row[0] for row in self.db.execute("SELECT name FROM sqlite_schema")}

    def close(self):
        self.writer.close()


@pytest.fixture
def day(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "DROP_ROWS", 7)
    monkeypatch.setattr(upkeep, "CARRY_ROWS", 7)
    one = Day(tmp_path / "history.db")
    yield one
    one.close()


def counted(db):
    return {
        row[:2]: row[2]
        for row in db.execute("SELECT source, state, sum(n) FROM state_count GROUP BY 1, 2")
        if row[2]
    }


def found(db):
    states = {}
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'task_[0-9]*'"
    for (table,) in db.execute(tables).fetchall():
        for source, state in db.execute(f"SELECT source, state FROM {table}"):
            states[source, state] = states.get((source, state), 0) + 1
    return states


def test_days_that_are_over_go_and_leave_nothing(day):
    for number in range(8):
        day.fill(number, 10)
    key = day.db.execute(f"SELECT {TODAY} << 40 | n FROM task_{TODAY} WHERE state < 4").fetchone()
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
    assert counted(day.db) == found(day.db)
    assert day.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_each_step_touches_few_rows_and_events_are_stored_between_them(day):
    for number in range(7):
        day.fill(number, 40)
    touched, worst, steps = day.db.total_changes, 0, 0
    while day.writer.tidy(KEEP, 0):
        worst = max(worst, day.db.total_changes - touched)
        steps += 1
        assert steps < 2_000
        day.record(life(f"meanwhile {steps}", day.at))
        assert counted(day.db) == found(day.db)
        touched = day.db.total_changes
    # A slice of one table, and the counters of three states.
    assert worst <= 7 + 3 + 1
    assert steps > 2 * 40 * 4 / 7
    assert day.days() == [2, 3, 4, 5, 6]
    rows = day.db.execute(f"SELECT count(*) FROM task_{TODAY + 6}").fetchone()
    assert rows == (41 + steps,)


def test_dropping_goes_on_after_a_restart(day, tmp_path):
    for number in range(7):
        day.fill(number, 10)
    for _ in range(25):
        assert day.writer.tidy(KEEP, 0)
    at = day.at
    day.writer.close()
    day.writer = Writer(open_writer(tmp_path / "history.db"), lambda: NOW_US + at)
    day.db = day.writer.db
    day.tidy()
    assert day.days() == [2, 3, 4, 5, 6]
    assert counted(day.db) == found(day.db)


def test_the_oldest_days_go_while_the_file_is_too_large(day):
    for number in range(8):
        day.fill(number, 200)
    size = space.used_bytes(day.db)
    day.tidy(1_000, size * 7 // 8)
    assert day.days()[-3:] == [5, 6, 7]
    assert 3 < len(day.days()) < 8
    assert space.used_bytes(day.db) <= size * 7 // 8


def test_days_that_are_searched_stay_whatever_is_asked(day):
    for number in range(6):
        day.fill(number, 10)
    day.tidy(1, 1)
    assert day.days() == [3, 4, 5]


def test_space_is_given_back_in_steps(day, monkeypatch):
    monkeypatch.setattr(space, "VACUUM_PAGES", 3)
    monkeypatch.setattr(upkeep, "DROP_ROWS", 500)
    for number in range(8):
        day.fill(number, 300)
    pages = day.db.execute("PRAGMA page_count").fetchone()[0]
    sizes = []
    while day.writer.tidy(KEEP, 0):
        sizes.append(day.db.execute("PRAGMA page_count").fetchone()[0])
    shrunk = [before - after for before, after in pairwise(sizes)]
    assert sizes[-1] < pages * 7 // 8
    # Beside the pages asked for, pages that only said where others are go as well.
    assert 3 <= max(shrunk) <= 3 + 2


def test_a_day_that_goes_is_out_of_sight_at_once(day, tmp_path):
    for number in range(6):
        day.fill(number, 10)
    while day.db.execute("SELECT max(dropping) FROM day").fetchone() == (0,):
        assert day.writer.tidy(KEEP, 0)
    with closing(open_reader(tmp_path / "history.db")) as reader:
        assert read_days(reader) == [TODAY + one for one in (5, 4, 3, 2, 1)]
        assert not has_day(reader, TODAY)


def test_events_about_open_tasks_of_a_day_that_goes_are_stored(day):
    for number in range(6):
        day.fill(number, 10)
    steps = 0
    while day.writer.tidy(KEEP, 0):
        day.record([started(uuid_of("open 0"), day.at + steps)])
        steps += 1
    assert steps > 10
    assert day.days() == [1, 2, 3, 4, 5]
    assert counted(day.db) == found(day.db)


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


async def test_usage_says_what_each_day_holds(tmp_path):
    clock = [NOW_US]
    store = SqliteHistory(tmp_path / "history.db", lambda: clock[0])
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


async def test_the_log_is_emptied_when_nothing_comes_in(tmp_path):
    store = SqliteHistory(tmp_path / "history.db", lambda: NOW_US)
    await store.open()
    await store.record([batch([source_seen(), *life("a", 0)])])
    log = tmp_path / "history.db-wal"
    await store.rest()
    assert log.stat().st_size > 0
    await store.rest()
    assert log.stat().st_size == 0
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM day").fetchall()
        await store.record([batch(life("b", 0), 7)])
        await store.rest()
        await store.rest()  # A reader is in the way: it waits for nobody.
        assert log.stat().st_size > 0
    assert (await store.committed(1, [LANE])) == {LANE: 11}
    assert len((await store.list_tasks(1, TaskFilter(), 10)).tasks) == 2
    await store.close()
