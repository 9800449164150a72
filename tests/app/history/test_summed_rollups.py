# SPDX-License-Identifier: AGPL-3.0-only
"""Rollups of long times, made of those of short ones: exact whatever comes when, in small steps."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_counts import Book, a_life, expected
from tests.support.history_events import NOW_US, events_of, failed, succeeded, uuid_of

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.sql import rollups
from queuedeck.history.sql.grains import SUMMED, WRITTEN, parts_of
from queuedeck.history.sql.rollups import OTHER, Rollups

HOUR_US = 60 * MINUTE_US
IDS = [uuid_of("one"), uuid_of("two"), "cron:nightly/1"]
TIMES = [-DAY_US, -6 * HOUR_US, -HOUR_US, -16 * MINUTE_US, 0, MINUTE_US, DAY_US]
times = st.sampled_from(TIMES)
groups = st.tuples(times, st.lists(events_of(IDS), min_size=1, max_size=5))
LATER = NOW_US + 2 * DAY_US


@pytest.fixture
def book(kind):
    with kind.fresh() as writer:
        yield Book(writer.db)


def check(book):
    """Each summed grain holds exactly what was counted before its bound."""
    for grain in SUMMED:
        until = book.until().get(grain.minutes, 0)
        assert book.rows(grain.table) == expected(book, grain.minutes, until)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.one_of(groups, times, st.none()), max_size=10),
    st.sampled_from([1, 3, 1_000]),
)
def test_sums_equal_a_direct_count(kind, what, rows):
    """Groups of events of any time, summing up at any time, and restarts, in any order."""
    with kind.fresh() as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "SUMMED_ROWS", rows)
        book = Book(writer.db)
        for one in what:
            if one is None:
                book.rollups = Rollups(book.db)
            elif isinstance(one, int):
                book.sum_up(NOW_US + one)
            else:
                at, events = one
                book.record(
                    [msgspec.structs.replace(e, at_us=e.at_us + at) for e in events], NOW_US
                )
            check(book)
        book.sum_up(LATER)
        check(book)
        assert set(book.until()) == {grain.minutes for grain in SUMMED}


def test_a_group_of_now_adds_nothing_to_what_is_summed_up(book):
    book.record(a_life("app.mail"))
    book.sum_up(NOW_US)
    book.db.ran, book.db.written = [], 0
    book.record(a_life("app.mail", at=5 * MINUTE_US))
    assert book.db.written == 5 * len(WRITTEN)
    assert not any(grain.table in sql for grain in SUMMED for sql in book.db.ran)


def test_a_late_event_is_added_once_to_each_length_of_time(book):
    book.record(a_life("app.mail"))
    book.sum_up(LATER)
    book.db.written = 0
    book.record(a_life("app.mail", at=1))
    assert book.db.written == 5 * (len(WRITTEN) + len(SUMMED))
    check(book)


def test_what_is_not_over_is_not_summed_up(book):
    book.record(a_life("app.mail"))
    book.sum_up(NOW_US)
    assert all(book.rows(grain.table) == {} for grain in SUMMED)


def test_a_step_takes_about_so_many_rows(book, monkeypatch):
    for n in range(40):
        book.record(a_life("app.mail", at=n * MINUTE_US))
    monkeypatch.setattr(rollups, "SUMMED_ROWS", 20)
    most, steps, more = 0, 0, True
    while more:
        book.db.read = 0
        more = book.rollups.sum_up(LATER)
        most, steps = max(most, book.db.read), steps + 1
    assert most <= 20 + 20 + 10  # Finer rows, those they are added to, and the bounds.
    assert steps > 10
    check(book)


def test_an_idle_project_costs_a_statement_or_two_for_each_length(book):
    book.record(a_life("app.mail"))
    book.sum_up(LATER)
    book.db.ran = []
    assert book.sum_up(LATER + 300 * DAY_US) == 0
    assert len(book.db.ran) <= 1 + 2 * len(SUMMED)
    book.db.ran = []
    assert book.sum_up(LATER + 300 * DAY_US) == 0
    assert len(book.db.ran) == 1


def test_a_step_asks_as_often_for_many_names_as_for_few(book):
    asked = []
    for names in (2, 40):
        at = len(asked) * DAY_US
        book.record([e for n in range(names) for e in a_life(f"app.t{n}", at=at)], NOW_US + at)
        book.db.ran = []
        book.sum_up(NOW_US + at + DAY_US)
        asked.append(len(book.db.ran))
    assert asked[1] <= asked[0]


def test_names_beyond_the_bound_are_other_in_sums_too(book, monkeypatch):
    monkeypatch.setattr(rollups, "MAX_KEYS", 5)
    for n in range(8):
        book.record(a_life(f"app.task{n}", at=n * MINUTE_US))
    book.sum_up(LATER)
    for grain in SUMMED:
        rows = book.rows(grain.table)
        for at in {key[1] for key in rows}:
            assert len([key for key in rows if key[1] == at and key[0] >= 0]) <= 5
        everything = sum(row[0] for key, row in rows.items() if key[0] == rollups.EVERYTHING)
        tasks = sum(row[0] for key, row in rows.items() if key[0] == OTHER or key[3])
        assert everything == tasks == 16


def test_what_was_summed_up_as_other_is_taken_back_from_other(book, monkeypatch):
    monkeypatch.setattr(rollups, "MAX_KEYS", 0)
    book.record([failed(IDS[0], 5, exception="A")])
    book.sum_up(LATER)
    book.rollups.forget()
    book.record([succeeded(IDS[0], 6)])
    for grain in SUMMED:
        rows = book.rows(grain.table)
        assert {key[2]: row[0] for key, row in rows.items() if key[0] == OTHER} == {8: 1}


def test_after_a_rollback_a_step_is_done_anew(book):
    book.record(a_life("app.mail"))
    book.db.execute("BEGIN")
    book.sum_up(LATER)
    book.db.execute("ROLLBACK")
    book.rollups.forget()
    assert book.until() == {}
    book.sum_up(LATER)
    check(book)


def test_each_length_is_whole_rows_of_what_it_is_made_of():
    for grain in SUMMED:
        assert grain.minutes % parts_of(grain).minutes == 0
        assert grain.kept_days <= parts_of(grain).kept_days
