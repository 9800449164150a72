# SPDX-License-Identifier: AGPL-3.0-only
"""Trends read back from the rollups."""

from collections import defaultdict

import pytest
from tests.support.history_events import NOW_US, published, retrying, started, succeeded, uuid_of
from tests.support.history_events import failed as failed_event
from tests.support.history_stores import Listening

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.errors import Invalid
from queuedeck.history.derive import derive
from queuedeck.history.facts import fact_of
from queuedeck.history.sql import books
from queuedeck.history.sql.grains import GRAINS, SUMMED
from queuedeck.history.sql.rollups import Rollups
from queuedeck.history.sql.trends import read_task_trends, read_trend
from queuedeck.history.states import merge
from queuedeck.history.trends import TaskOrder, TrendFilter

HOUR_US = 60 * MINUTE_US
ALL = TrendFilter()
SOURCES = (
    "INSERT INTO source (id, project, fingerprint, engine, name, version, text_ids)"
    " VALUES (7, 1, 'a', 'celery', '', '', 0), (8, 1, 'b', 'rq', '', '', 0)"
)


class Book:
    def __init__(self, db):
        self.db = Listening(db)
        self.db.execute(SOURCES)
        self.db.execute("INSERT INTO event_count VALUES (1, 0, 0, 0, NULL)")
        self.rollups = Rollups(self.db)
        self._words = {}

    def intern(self, kind, value):
        if not value:
            return 0
        if (kind, value) not in self._words:
            number = self._words[kind, value] = len(self._words) + 1
            self.db.execute("INSERT INTO word VALUES (?, 1, ?, ?)", (number, kind, value))
        return self._words[kind, value]

    def record(self, *events, source=7):
        tasks = defaultdict(dict)
        for event in events:
            merge(tasks[event.task_id], fact_of(event, self.intern))
        for facts in tasks.values():
            self.rollups.count(1, source, {}, facts, derive(facts))
        self.rollups.write(NOW_US)

    def sum_up(self, now=0):
        while self.rollups.sum_up(NOW_US + now):
            pass

    def trend(self, since=0, until=HOUR_US, step=MINUTE_US, question=ALL):
        return read_trend(self.db, 1, NOW_US + since, NOW_US + until, step, question)

    def tasks(self, order=TaskOrder.ENDED, limit=10):
        until = NOW_US + HOUR_US
        return read_task_trends(self.db, 1, NOW_US, until, MINUTE_US, order, limit)


@pytest.fixture
def book(kind):
    with kind.fresh() as writer:
        yield Book(writer.db)


def life(name, at=0, run_us=20, failed=False, **more):
    task_id = uuid_of(f"{name} {at} {run_us}")
    end = failed_event if failed else succeeded
    return [
        published(task_id, at, name=name, queue=more.get("queue", "mail")),
        started(task_id, at + 10, name=name, worker=more.get("worker", "w1"), release="v1"),
        end(task_id, at + 10 + run_us, run_us=run_us, worker=more.get("worker", "w1")),
    ]


def test_points_say_what_happened_when(book):
    book.record(*life("a", 0), *life("b", 5 * MINUTE_US, failed=True))
    trend = book.trend(until=10 * MINUTE_US, step=5 * MINUTE_US)
    assert [(p.arrived, p.succeeded, p.failed) for p in trend.points] == [(1, 1, 0), (1, 0, 1)]
    assert (trend.total.ended, trend.total.failing) == (2, 1)


def test_percentiles_are_of_all_runs_in_the_step(book):
    for n in range(1, 101):
        book.record(*life("a", n, run_us=n * 1_000))
    run = book.trend().points[0].run
    assert run.n == 100
    for found, exact in ((run.p50, 50_000), (run.p95, 95_000), (run.p99, 99_000)):
        assert abs(found - exact) <= exact / 32


def test_retries_are_counted_as_attempts_that_went_wrong(book):
    book.record(retrying(uuid_of("x"), 3), succeeded(uuid_of("x"), 9, attempt=2))
    total = book.trend().total
    assert (total.retried, total.succeeded, total.failing) == (1, 1, 1)


@pytest.mark.parametrize(
    ("question", "ended"),
    [
        (ALL, 3),
        (TrendFilter(task="a"), 2),
        (TrendFilter(task="nobody"), 0),
        (TrendFilter(queue="pay"), 1),
        (TrendFilter(task="a", queue="pay"), 1),
        (TrendFilter(engine="rq"), 1),
        (TrendFilter(engine="huey"), 0),
        (TrendFilter(release="v1"), 3),
        (TrendFilter(release="v2"), 0),
        (TrendFilter(worker="w2"), 1),
    ],
    ids=str,
)
def test_filters_narrow_what_is_counted(book, question, ended):
    book.record(*life("a"), *life("a", 1, queue="pay"))
    book.record(*life("b", worker="w2"), source=8)
    assert book.trend(question=question).total.ended == ended


def test_worker_cannot_be_combined(book):
    with pytest.raises(Invalid, match="combined"):
        book.trend(question=TrendFilter(worker="w1", task="a"))


@pytest.mark.parametrize(("until", "step"), [(HOUR_US, 1), (DAY_US * 9, MINUTE_US), (0, HOUR_US)])
def test_too_many_steps_or_none_are_refused(book, until, step):
    with pytest.raises(Invalid):
        book.trend(until=until, step=step)


def test_tasks_are_sorted_and_the_rest_is_counted(book):
    book.record(*life("a"), *life("a", 1), *life("b", failed=True), *life("c", run_us=900))
    found = book.tasks(limit=2)
    assert found.tasks[0].name == "a"
    assert found.more == 1
    assert book.tasks(TaskOrder.SHARE).tasks[0].name == "b"
    assert book.tasks(TaskOrder.BUSY).tasks[0].name == "c"
    assert book.tasks(TaskOrder.BUSY).tasks[0].counts.run.p95 == 912


def test_names_beyond_the_bound_are_counted_together(book, monkeypatch):
    monkeypatch.setattr(books, "MAX_KEYS", 3)
    for name in "abcd":
        book.record(*life(name))
    found = book.tasks()
    assert sum(task.counts.ended for task in found.tasks) + found.other == 4
    assert found.other == 3


def rows_read(book, **window):
    """How many rows the database handed out."""
    book.db.read = 0
    book.trend(**window)
    return book.db.read


MONTH = {"since": -29 * DAY_US, "until": DAY_US, "step": 6 * HOUR_US}
UNTIL = len(SUMMED)
"""A row for each, which says up to when it can be read."""


@pytest.mark.parametrize("copies", [1, 5])
def test_rows_read_do_not_grow_with_the_traffic(book, copies):
    for n in range(24):
        for copy in range(copies):
            book.record(*life(f"task {copy}", n * HOUR_US + copy))
    assert rows_read(book, **MONTH) == 24 * 2
    book.sum_up(3 * DAY_US)
    assert rows_read(book, **MONTH) <= 5 * 2 + UNTIL
    assert rows_read(book, **MONTH | {"step": DAY_US}) <= 2 * 2 + UNTIL


def test_a_month_is_read_from_its_quarters_of_days(book):
    """A row for each quarter and outcome, and the hours since the last quarter that is over."""
    book.record(*(e for n in range(5 * 24) for e in life("a", (n - 96) * HOUR_US)))
    book.sum_up(DAY_US)
    found = rows_read(book, **MONTH)
    assert found <= (5 * 4 + 2) * 2 + UNTIL
    assert rows_read(book, **MONTH, question=TrendFilter(task="a")) <= found + 1
    book.db.ran = []
    book.trend(**MONTH, question=TrendFilter(task="a"))
    assert len(book.db.ran) <= 6


def test_a_day_is_read_from_its_quarters_of_hours(book):
    book.record(*(e for n in range(180) for e in life("a", (n - 180) * MINUTE_US)))
    book.sum_up()
    day = {"since": -DAY_US + HOUR_US, "until": 0, "step": 15 * MINUTE_US}
    assert rows_read(book, **day) <= (12 + 1 + 17) * 2 + UNTIL


def test_names_are_read_in_as_many_statements_as_there_are_lengths_of_rows(book):
    for name in "abcdefgh":
        book.record(*life(name, -3 * DAY_US), *life(name))
    book.sum_up(HOUR_US)
    book.db.ran = []
    read_task_trends(book.db, 1, NOW_US - 29 * DAY_US, NOW_US, DAY_US, TaskOrder.ENDED, 8)
    assert len(book.db.ran) <= 3 + 2 * 5


def test_names_of_a_month_are_read_from_days_and_four_days(book):
    book.record(*(e for n in range(30) for e in life("a", (n - 29) * DAY_US)))
    book.sum_up(DAY_US)
    book.db.read = 0
    since = NOW_US // DAY_US * DAY_US - 29 * DAY_US
    read_task_trends(book.db, 1, since, NOW_US, DAY_US, TaskOrder.ENDED, 8)
    sums = 2 * 5
    assert book.db.read <= (6 + 6 + 1) * 2 + sums + UNTIL


def test_the_coarsest_rows_that_fit_are_read(book):
    for n in range(60):
        book.record(*life("a", n * MINUTE_US))
    book.sum_up(2 * DAY_US)
    day = NOW_US // DAY_US * DAY_US - NOW_US
    assert rows_read(book, until=HOUR_US, step=MINUTE_US) == 120 + UNTIL
    assert rows_read(book, since=day, until=day + DAY_US, step=DAY_US) == 2 + UNTIL


@pytest.mark.parametrize("summed", [None, 9 * DAY_US], ids=str)
def test_what_happened_after_the_end_of_a_time_is_not_in_it(book, summed):
    book.record(*life("a"), *life("b", 20 * MINUTE_US))
    if summed is not None:
        book.sum_up(summed)
    found = read_task_trends(
        book.db, 1, NOW_US - DAY_US, NOW_US + 5 * MINUTE_US, MINUTE_US, TaskOrder.ENDED, 8
    )
    assert [(task.name, task.counts.ended) for task in found.tasks] == [("a", 1)]


@pytest.mark.parametrize("summed", [None, 0, 4 * HOUR_US, 9 * DAY_US], ids=str)
def test_every_grain_answers_the_same(book, summed):
    book.record(*life("a"), *life("b", 3 * HOUR_US, failed=True))
    if summed is not None:
        book.sum_up(summed)
    book.record(*life("late", HOUR_US), *life("a", 5 * HOUR_US))
    since = NOW_US // DAY_US * DAY_US
    totals = [
        read_trend(book.db, 1, since, since + DAY_US, max(g.us, 5 * MINUTE_US), ALL).total
        for g in GRAINS
        if g.us <= DAY_US
    ]
    assert all(total == totals[0] for total in totals)
    assert (totals[0].ended, totals[0].run.n) == (4, 4)
