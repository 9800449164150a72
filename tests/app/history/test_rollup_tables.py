# SPDX-License-Identifier: AGPL-3.0-only
"""The tables of rollups against a direct count over the facts."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_counts import Book, a_life, expected
from tests.support.history_events import NOW_US, events_of, failed, succeeded, uuid_of

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.sql import books
from queuedeck.history.sql.books import EVERYTHING, OTHER
from queuedeck.history.sql.grains import GRAINS, WRITTEN
from queuedeck.history.sql.rollups import prune

IDS = [uuid_of("one"), uuid_of("two"), "cron:nightly/1"]


@pytest.fixture
def book(kind):
    with kind.fresh() as writer:
        yield Book(writer.db)


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
        for grain in WRITTEN:
            assert book.rows(grain.table) == expected(book, grain.minutes)


def test_keys_beyond_the_bound_are_counted_as_other(book, monkeypatch):
    monkeypatch.setattr(books, "MAX_KEYS", 5)
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
    monkeypatch.setattr(books, "MAX_KEYS", 0)
    book.record([failed(IDS[0], 5, exception="A")])
    book.rollups.forget()
    book.record([succeeded(IDS[0], 6)])
    assert {key[2]: row[0] for key, row in book.rows().items() if key[0] == OTHER} == {8: 1}


def test_a_group_writes_each_row_once(book):
    book.record([event for n in range(500) for event in a_life("app.mail", at=n)])
    assert book.db.written == 5 * len(WRITTEN)  # arrived and ended, all and one task; one worker


def test_a_clock_far_ahead_is_not_counted(book):
    book.record(a_life("app.mail", at=15 * DAY_US))
    assert book.rows() == {}


def test_what_is_too_old_to_be_kept_is_counted_by_the_hour_only(book):
    book.record(a_life("app.mail", at=-15 * DAY_US))
    assert book.rows("roll_minute") == {}
    assert len(book.rows("roll_hour")) == 5


def test_old_minutes_are_pruned_in_slices(book):
    for n in range(4):
        book.record(a_life("app.mail", at=n * MINUTE_US))
    later = NOW_US + 15 * DAY_US
    assert prune(book.db, later, 15, {}) == 15
    assert prune(book.db, later, 15, {}) == 5
    assert book.rows("roll_minute") == {}
    assert book.rows("roll_hour") != {}


def test_a_project_that_keeps_counts_for_fewer_days_has_them_of_these(book):
    for day in range(6):
        book.record(a_life("app.mail", at=-day * DAY_US))
    book.sum_up(NOW_US + DAY_US)
    while prune(book.db, NOW_US, 15, {1: 3, 2: 1}):
        pass
    kept = [NOW_US - day * DAY_US for day in range(4)]
    for grain in GRAINS:  # A row of four days stays while one of them is kept: it is read for that.
        assert {key[1] for key in book.rows(grain.table)} == {at // grain.us for at in kept}
    assert prune(book.db, NOW_US, 15, {2: 1}) == 0


def test_after_a_rollback_nothing_of_the_group_is_remembered(book):
    book.db.execute("BEGIN")
    book.record(a_life("app.mail"))
    book.db.execute("ROLLBACK")
    book.rollups.forget()
    book.tasks.clear()
    book.record(a_life("app.mail"))
    assert book.rows() == expected(book, 1)
