# SPDX-License-Identifier: AGPL-3.0-only
"""Rollups of long times, made of those of short ones: exact whatever comes when, in small steps."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_counts import Book, a_life, expected
from tests.support.history_events import NOW_US, events_of, failed, succeeded, uuid_of

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.sql import books, rollups
from queuedeck.history.sql.books import EVERYTHING, OTHER
from queuedeck.history.sql.grains import SUMMED, WRITTEN, parts_of
from queuedeck.history.sql.rollups import Rollups

HOUR_US = 60 * MINUTE_US
IDS = [uuid_of("one"), uuid_of("two"), "cron:nightly/1"]
TIMES = [-DAY_US, -6 * HOUR_US, -HOUR_US, -16 * MINUTE_US, 0, MINUTE_US, DAY_US]
times = st.sampled_from(TIMES)
groups = st.tuples(times, st.lists(events_of(IDS), min_size=1, max_size=5))
steps = st.integers(1, 5).map(range)
LATER = NOW_US + 2 * DAY_US


@pytest.fixture
def book(kind):
    with kind.fresh() as writer:
        yield Book(writer.db)


def check(book):
    """Each summed grain holds exactly what was counted before its bound; while a time is added, the
    row that it is added to is not read.
    """
    until, halfway = book.until(), book.halfway()
    for grain in SUMMED:
        bound = until.get(grain.minutes, 0)
        rows = book.rows(grain.table)
        if grain.minutes in halfway:
            bound = bound // grain.minutes * grain.minutes
            rows = {key: row for key, row in rows.items() if key[1] * grain.minutes < bound}
        assert rows == expected(book, grain.minutes, bound)
    everything = expected(book, 1).items()
    now = NOW_US // MINUTE_US
    for low, high in ((0, 2 * now), (now - 100, now + 1)):
        direct = sum(
            row[0] for key, row in everything if key[0] == EVERYTHING and low <= key[1] < high
        )
        assert book.counted(low, high) == direct


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.one_of(groups, times, steps, st.none()), max_size=10),
    st.sampled_from([1, 3, 1_000]),
)
def test_sums_equal_a_direct_count(kind, what, rows):
    """Groups of events of any time, summing up at any time, all of it or some steps, and restarts,
    in any order.
    """
    with kind.fresh() as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "SUMMED_ROWS", rows)
        book = Book(writer.db)
        for one in what:
            if one is None:
                book.rollups = Rollups(book.db)
            elif isinstance(one, int):
                book.sum_up(NOW_US + one)
            elif isinstance(one, range):
                for _ in one:
                    book.rollups.sum_up(LATER)
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


SPREAD = [(f"app.t{n % 4}", n * MINUTE_US) for n in range(40)]
AT_ONCE = [(f"app.t{n}", n) for n in range(40)]
"""More rows of one minute, and of each longer time, than one step takes."""


@pytest.mark.parametrize("lives", [SPREAD, AT_ONCE], ids=["of many minutes", "of one minute"])
def test_a_step_reads_and_writes_so_many_rows_at_most(book, monkeypatch, lives):
    monkeypatch.setattr(rollups, "SUMMED_ROWS", 20)
    for after in (0, 2 * HOUR_US):  # The second time rows of six hours and of a day grow.
        for name, at in lives:
            book.record(a_life(name, at=at + after))
        check_steps(book, NOW_US + after + HOUR_US + 3 * MINUTE_US)


def check_steps(book, now_us):
    read, written, asked, steps, more = 0, 0, 0, 0, True
    while more:
        book.db.read, book.db.written, book.db.ran = 0, 0, []
        more = book.rollups.sum_up(now_us)
        read, written = max(read, book.db.read), max(written, book.db.written)
        asked, steps = max(asked, len(book.db.ran)), steps + 1
        check(book)
    assert read <= 20 + 20 + 10  # Finer rows with those they are added to, counts, and the bounds.
    assert written <= 20
    assert asked <= 30
    assert steps > 10


def test_what_comes_while_its_time_is_added_is_counted_once(book, monkeypatch):
    monkeypatch.setattr(rollups, "SUMMED_ROWS", 5)
    for name, at in AT_ONCE:
        book.record(a_life(name, at=at))
    seen = set()
    for number, (name, at) in enumerate(AT_ONCE):
        book.rollups.sum_up(LATER)
        seen |= book.halfway()
        book.record(a_life(name, uuid_of(f"late {number}"), at))
        book.record(a_life(f"app.new{number}", at=at))
        check(book)
    assert seen
    book.sum_up(LATER)
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
    for names in (2, 30):  # Not more than go into one step.
        at = len(asked) * DAY_US
        book.record([e for n in range(names) for e in a_life(f"app.t{n}", at=at)], NOW_US + at)
        book.db.ran = []
        book.sum_up(NOW_US + at + DAY_US)
        asked.append(len(book.db.ran))
    assert asked[1] <= asked[0]


def test_names_beyond_the_bound_are_other_in_sums_too(book, monkeypatch):
    monkeypatch.setattr(books, "MAX_KEYS", 5)
    for n in range(8):
        book.record(a_life(f"app.task{n}", at=n * MINUTE_US))
    book.sum_up(LATER)
    for grain in SUMMED:
        rows = book.rows(grain.table)
        for at in {key[1] for key in rows}:
            assert len([key for key in rows if key[1] == at and key[0] >= 0]) <= 5
        everything = sum(row[0] for key, row in rows.items() if key[0] == EVERYTHING)
        tasks = sum(row[0] for key, row in rows.items() if key[0] == OTHER or key[3])
        assert everything == tasks == 16


def test_what_was_summed_up_as_other_is_taken_back_from_other(book, monkeypatch):
    monkeypatch.setattr(books, "MAX_KEYS", 0)
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
