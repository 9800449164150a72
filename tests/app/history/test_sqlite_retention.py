# SPDX-License-Identifier: AGPL-3.0-only
"""What the retention does to the file."""

import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest
from tests.support.history_events import LANE, NOW_US, batch, source_seen
from tests.support.history_retention import TODAY, Retained, counted, found, life
from tests.support.history_stores import SqliteKind

from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql import upkeep
from queuedeck.history.sqlite import upkeep as space
from queuedeck.history.sqlite.store import SqliteHistory


@pytest.fixture
def day(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "DROP_ROWS", 7)
    monkeypatch.setattr(upkeep, "CARRY_ROWS", 7)
    one = Retained(SqliteKind(tmp_path))
    yield one
    assert one.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    one.close()


def test_each_step_touches_few_rows_and_events_are_stored_between_them(day):
    for number in range(7):
        day.fill(number, 40)
    touched, worst, steps = day.db.total_changes, 0, 0
    while day.step():
        worst = max(worst, day.db.total_changes - touched)
        steps += 1
        assert steps < 2_000
        day.record(life(f"meanwhile {steps}", day.at))
        assert counted(day.db) == found(day)
        touched = day.db.total_changes
    # A slice of one table, and the counters of three states.
    assert worst <= 7 + 3 + 1
    assert steps > 2 * 40 * 4 / 7
    assert day.days() == [2, 3, 4, 5, 6]
    rows = day.db.execute(f"SELECT count(*) FROM task_{TODAY + 6}").fetchone()
    assert rows == (41 + steps,)


def test_space_is_given_back_in_steps(day, monkeypatch):
    monkeypatch.setattr(space, "VACUUM_PAGES", 3)
    monkeypatch.setattr(upkeep, "DROP_ROWS", 500)
    for number in range(8):
        day.fill(number, 300)
    pages = day.db.execute("PRAGMA page_count").fetchone()[0]
    sizes = []
    while day.step():
        sizes.append(day.db.execute("PRAGMA page_count").fetchone()[0])
    shrunk = [before - after for before, after in pairwise(sizes)]
    assert sizes[-1] < pages * 7 // 8
    # Beside the pages asked for, pages that only said where others are go as well.
    assert 3 <= max(shrunk) <= 3 + 2


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
