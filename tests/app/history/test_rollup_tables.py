# SPDX-License-Identifier: AGPL-3.0-only
"""The tables of rollups against a direct count over the facts."""

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_events import (
    NOW_US,
    Dictionary,
    events_of,
    failed,
    published,
    started,
    succeeded,
    uuid_of,
)
from tests.support.history_stores import Listening

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.derive import derive
from queuedeck.history.facts import fact_of
from queuedeck.history.histogram import histogram_of, unpack
from queuedeck.history.rollups import contributions
from queuedeck.history.sql import rollups
from queuedeck.history.sql.rollups import EVERYTHING, GRAINS, OTHER, Rollups, prune
from queuedeck.history.states import merge

IDS = [uuid_of("one"), uuid_of("two"), "cron:nightly/1"]
PROJECT, SOURCE = 1, 7


class Book:
    """Tasks in memory, their rollups in a database."""

    def __init__(self, db):
        self.db = Listening(db)
        self.rollups = Rollups(self.db)
        self.intern = Dictionary()
        self.tasks = defaultdict(dict)

    def record(self, events, now_us=NOW_US):
        before = {event.task_id: dict(self.tasks[event.task_id]) for event in events}
        for event in events:
            merge(self.tasks[event.task_id], fact_of(event, self.intern))
        for task_id, old in before.items():
            facts = self.tasks[task_id]
            self.rollups.count(PROJECT, SOURCE, old, facts, derive(facts))
        self.rollups.write(now_us)

    def rows(self, table="roll_minute", where="n <> 0"):
        found = self.db.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()
        return {row[1:7]: (row[7], row[8], unpack(row[9]), unpack(row[10])) for row in found}


@pytest.fixture
def book(kind):
    with kind.fresh() as writer:
        yield Book(writer.db)


def expected(book, minutes):
    """Count every contribution of every task under its three subjects."""
    counted = defaultdict(list)
    for facts in book.tasks.values():
        for one in contributions(facts).values():
            at = one.minute // minutes
            counted[one.task, at, one.outcome, SOURCE, one.queue, one.release].append(one)
            counted[EVERYTHING, at, one.outcome, 0, 0, 0].append(one)
            if one.worker:
                counted[one.worker, at, one.outcome, 0, 0, 0].append(one)
    return {key: cell_of(ones) for key, ones in counted.items()}


def cell_of(ones):
    waits = [one.wait_us for one in ones if one.wait_us >= 0]
    runs = [one.run_us for one in ones if one.run_us >= 0]
    return len(ones), sum(runs), histogram_of(waits), histogram_of(runs)


def without_own(rows):
    return {key: row for key, row in rows.items() if key[0] >= 0}


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(events_of(IDS), min_size=1, max_size=6), max_size=8), st.data())
def test_tables_equal_a_direct_count(kind, groups, data):
    with kind.fresh() as writer:
        book = Book(writer.db)
        for group in groups:
            book.record(group)
            if data.draw(st.booleans()):
                book.rollups.forget()
        for grain in GRAINS:
            assert book.rows(grain.table) == expected(book, grain.minutes)


def a_life(name, task_id=None, at=0):
    task_id = task_id or uuid_of(f"{name} {at}")
    return [
        published(task_id, at, name=name),
        started(task_id, at + 10, name=name, worker=f"worker of {name}"),
        succeeded(task_id, at + 30, run_us=20),
    ]


def test_keys_beyond_the_bound_are_counted_as_other(book, monkeypatch):
    monkeypatch.setattr(rollups, "MAX_KEYS", 5)
    for n in range(8):
        book.record(a_life(f"app.task{n}"))
    rows = book.rows()
    at = NOW_US // MINUTE_US
    assert len(without_own(rows)) == 5
    assert rows[EVERYTHING, at, 8, 0, 0, 0][0] == 8
    named = {book.intern(1, f"app.task{n}") for n in range(8)}
    ended = [row[0] for key, row in rows.items() if key[2] == 8 and key[0] in (*named, OTHER)]
    assert sum(ended) == 8


def test_what_began_as_other_is_taken_back_from_other(book, monkeypatch):
    monkeypatch.setattr(rollups, "MAX_KEYS", 0)
    book.record([failed(IDS[0], 5, exception="A")])
    book.rollups.forget()
    book.record([succeeded(IDS[0], 6)])
    assert {key[2]: row[0] for key, row in book.rows().items() if key[0] == OTHER} == {8: 1}


def test_a_group_writes_each_row_once(book):
    book.record([event for n in range(500) for event in a_life("app.mail", at=n)])
    assert book.db.written == 5 * len(GRAINS)  # arrived and ended, all and one task; one worker


def test_a_clock_far_ahead_is_not_counted(book):
    book.record(a_life("app.mail", at=15 * DAY_US))
    assert book.rows() == {}


def test_what_is_too_old_to_be_kept_is_counted_by_the_hour_only(book):
    book.record(a_life("app.mail", at=-15 * DAY_US))
    assert book.rows("roll_minute") == {}
    assert len(book.rows("roll_hour")) == 5


def test_old_minutes_are_pruned_in_slices(book):
    book.db.execute("INSERT INTO event_count VALUES (1, 0, 0, 0, NULL)")
    for n in range(4):
        book.record(a_life("app.mail", at=n * MINUTE_US))
    later = NOW_US + 15 * DAY_US
    assert prune(book.db, later, 15) == 15
    assert prune(book.db, later, 15) == 5
    assert book.rows("roll_minute") == {}
    assert book.rows("roll_hour") != {}


def test_after_a_rollback_nothing_of_the_group_is_remembered(book):
    book.db.execute("BEGIN")
    book.record(a_life("app.mail"))
    book.db.execute("ROLLBACK")
    book.rollups.forget()
    book.tasks.clear()
    book.record(a_life("app.mail"))
    assert book.rows() == expected(book, 1)
