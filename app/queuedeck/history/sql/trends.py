# SPDX-License-Identifier: AGPL-3.0-only
"""Counts and percentiles over time, from the rollups alone. Readers only.

The coarsest rows that fit are read, so the number of rows does not grow with the traffic: at most
one for each outcome and step of the grain, of everything, of a worker, or of one key of a task.
"""

from collections.abc import Callable, Iterable

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.errors import Invalid
from queuedeck.history.facts import Kind, Word
from queuedeck.history.histogram import Sum, quantiles
from queuedeck.history.records import (
    Counts,
    Spread,
    TaskOrder,
    TaskTrend,
    TaskTrends,
    Trend,
    TrendFilter,
)
from queuedeck.history.rollups import ARRIVED
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.rollups import EVERYTHING, GRAINS, OTHER, Grain

MAX_POINTS = 1_500
_SHARES = (0.5, 0.95, 0.99)
_FIELDS = {
    ARRIVED: "arrived",
    Kind.SUCCEEDED: "succeeded",
    Kind.FAILED: "failed",
    Kind.RETRYING: "retried",
    Kind.CANCELLED: "cancelled",
    Kind.LOST: "lost",
}
_RANGE = " WHERE r.project = ? AND r.subject = ? AND r.at >= ? AND r.at < ?"

_Row = tuple[int, int, int, int, bytes, bytes]
"""(at, outcome, n, run_us, wait, run)"""


def read_trend(
    db: Database,
    project_id: int,
    since_us: int,
    until_us: int,
    step_us: int,
    question: TrendFilter,
) -> Trend:
    """Counts for each step from `since_us`, rounded down to a whole step, to `until_us`."""
    since_us, points = _steps(since_us, until_us, step_us)
    grain = _grain(since_us, step_us)
    in_step = step_us // grain.us
    first = since_us // grain.us
    steps = [_Adding() for _ in range(points)]
    for row in _rows(db, project_id, question, grain, first, first + points * in_step):
        steps[(row[0] - first) // in_step].add(row)
    total = _Adding()
    for step in steps:
        total.add_all(step)
    return Trend(
        since_us=since_us,
        step_us=step_us,
        points=[step.counts() for step in steps],
        total=total.counts(),
    )


def read_task_trends(
    db: Database,
    project_id: int,
    since_us: int,
    until_us: int,
    step_us: int,
    order: TaskOrder,
    limit: int,
) -> TaskTrends:
    """Task names with their counts of the whole time, `limit` of them with percentiles."""
    since_us, points = _steps(since_us, until_us, step_us)
    grain = _grain(since_us, step_us)
    low, high = since_us // grain.us, (since_us + points * step_us) // grain.us
    counted: dict[int, _Adding] = {}
    names: dict[int, str] = {}
    for name, subject, outcome, n, busy in _sums(db, project_id, grain, low, high):
        names[subject] = name
        counted.setdefault(subject, _Adding()).add((0, outcome, n, busy, b"", b""))
    lines = [(subject, adding.counts()) for subject, adding in counted.items()]
    lines = [line for line in lines if line[0] != OTHER and line[1].ended > 0]
    lines.sort(key=lambda line: (_ORDERS[order](line[1]), line[1].ended), reverse=True)
    found: list[TaskTrend] = []
    for subject, _ in lines[:limit]:
        adding = _Adding()
        for row in _read(db, grain, _RANGE, (project_id, subject, low, high)):
            adding.add(row)
        found.append(TaskTrend(name=names[subject], counts=adding.counts()))
    other = counted.get(OTHER, _Adding()).counts().ended
    return TaskTrends(tasks=found, more=len(lines) - len(found), other=other)


_ORDERS: dict[TaskOrder, Callable[[Counts], float]] = {
    TaskOrder.ENDED: lambda counts: counts.ended,
    TaskOrder.FAILING: lambda counts: counts.failing,
    TaskOrder.SHARE: lambda counts: counts.failing / counts.ended,
    TaskOrder.BUSY: lambda counts: counts.busy_us,
}


class _Adding:
    """Counts while rows are added."""

    def __init__(self) -> None:
        self._n: dict[str, int] = {}
        self._busy_us = 0
        self._wait: Sum | None = None
        self._run: Sum | None = None

    def add(self, row: _Row) -> None:
        _, outcome, n, run_us, wait, run = row
        self._count(_FIELDS[outcome], n, run_us)
        if wait:
            self._wait = self._wait or Sum()
            self._wait.add(wait)
        if run:
            self._run = self._run or Sum()
            self._run.add(run)

    def add_all(self, other: "_Adding") -> None:
        for field, n in other._n.items():
            self._count(field, n, 0)
        self._busy_us += other._busy_us
        if other._wait is not None:
            self._wait = self._wait or Sum()
            self._wait.add_all(other._wait)
        if other._run is not None:
            self._run = self._run or Sum()
            self._run.add_all(other._run)

    def _count(self, field: str, n: int, run_us: int) -> None:
        self._n[field] = self._n.get(field, 0) + n
        self._busy_us += run_us

    def counts(self) -> Counts:
        return _counts(self._n, self._busy_us, _spread(self._wait), _spread(self._run))


def _counts(n: dict[str, int], busy_us: int, wait: Spread, run: Spread) -> Counts:
    return msgspec.convert({**n, "busy_us": busy_us, "wait": wait, "run": run}, Counts)


def _spread(total: Sum | None) -> Spread:
    histogram = {} if total is None else total.histogram()
    p50, p95, p99 = quantiles(histogram, _SHARES)
    return Spread(n=sum(histogram.values()), p50=p50, p95=p95, p99=p99)


def _steps(since_us: int, until_us: int, step_us: int) -> tuple[int, int]:
    """The start of the first step, and how many there are."""
    if step_us < MINUTE_US or step_us % MINUTE_US:
        raise Invalid("A step is a number of whole minutes.")
    since_us -= since_us % step_us
    points = -(-(until_us - since_us) // step_us)
    if not 0 < points <= MAX_POINTS:
        raise Invalid(f"Ask for 1 to {MAX_POINTS} steps: a later end, or a longer step.")
    return since_us, points


def _grain(since_us: int, step_us: int) -> Grain:
    """The coarsest rows of which each step is made."""
    fits = (g for g in reversed(GRAINS) if step_us % g.us == 0 and since_us % g.us == 0)
    return next(fits)


def _rows(
    db: Database,
    project_id: int,
    question: TrendFilter,
    grain: Grain,
    low: int,
    high: int,
) -> Iterable[_Row]:
    if question.worker:
        if question != TrendFilter(worker=question.worker):
            raise Invalid("A worker cannot be combined with other filters.")
        where = _RANGE + " AND r.source = 0"
        for subject in _words(db, project_id, Word.WORKER, question.worker):
            yield from _read(db, grain, where, (project_id, subject, low, high))
        return
    if question == TrendFilter():
        yield from _read(db, grain, _RANGE, (project_id, EVERYTHING, low, high))
        return
    where, values = _narrowed(db, project_id, question)
    for subject in _words(db, project_id, Word.NAME, question.task):
        yield from _read(db, grain, where, (project_id, subject, low, high, *values))


def _narrowed(db: Database, project_id: int, question: TrendFilter) -> tuple[str, list[int]]:
    """The rows of a task that a filter leaves. A word that nobody used leaves none."""
    where, values = _RANGE + " AND r.source > 0", list[int]()
    for column, kind, word in (
        ("queue", Word.QUEUE, question.queue),
        ("release", Word.RELEASE, question.release),
    ):
        if word:
            where += f" AND r.{column} = ?"
            values.append(next(iter(_words(db, project_id, kind, word)), -1))
    if question.engine:
        rows = db.execute(
            "SELECT id FROM source WHERE project = ? AND engine = ?", (project_id, question.engine)
        ).fetchall()
        where += f" AND r.source IN ({', '.join(str(row[0]) for row in rows) or '-1'})"
    return where, values


def _words(db: Database, project_id: int, kind: Word, value: str) -> list[int]:
    """References of a word; of all words of the kind, and of the missing one, when it is empty."""
    if value:
        rows = db.execute(
            "SELECT id FROM word WHERE project = ? AND kind = ? AND value = ?",
            (project_id, kind, value),
        ).fetchall()
        return [row[0] for row in rows]
    rows = db.execute(
        "SELECT id FROM word WHERE project = ? AND kind = ?", (project_id, kind)
    ).fetchall()
    return [0, *(row[0] for row in rows)]


def _read(db: Database, grain: Grain, where: str, values: tuple[int, ...]) -> Iterable[_Row]:
    return db.execute(
        f"SELECT r.at, r.outcome, r.n, r.run_us, r.wait, r.run FROM {grain.table} AS r{where}",  # noqa: S608
        values,
    )


def _sums(
    db: Database, project_id: int, grain: Grain, low: int, high: int
) -> Iterable[tuple[str, int, int, int, int]]:
    """(name, subject, outcome, n, run_us) of every task name, and of what has none."""
    return db.execute(
        "WITH name (id, value) AS (VALUES (0, ''), (?, '') UNION ALL SELECT id, value FROM word"  # noqa: S608
        " WHERE project = ? AND kind = ?)"
        " SELECT min(w.value), r.subject, r.outcome, CAST(sum(r.n) AS BIGINT),"
        " CAST(sum(r.run_us) AS BIGINT)"
        f" FROM name AS w CROSS JOIN {grain.table} AS r ON r.project = ? AND r.subject = w.id"
        " AND r.at >= ? AND r.at < ? GROUP BY r.subject, r.outcome",
        (OTHER, project_id, Word.NAME, project_id, low, high),
    )
