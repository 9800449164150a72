# SPDX-License-Identifier: AGPL-3.0-only
"""Counts and percentiles over time, from the rollups alone. Readers only.

The coarsest rows that fit are read, so the number of rows does not grow with the traffic: at most
one for each outcome and step, of everything, of a worker, or of one key of a task, and finer ones
for the newest time, which is not summed up yet.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from queuedeck.clock import MINUTE_US
from queuedeck.errors import Invalid
from queuedeck.history.facts import Kind, Word
from queuedeck.history.histogram import Sum
from queuedeck.history.rollups import ARRIVED
from queuedeck.history.sql.books import EVERYTHING, OTHER
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.grains import GRAINS, Piece, pieces
from queuedeck.history.trends import (
    Counts,
    Spread,
    TaskOrder,
    TaskTrend,
    TaskTrends,
    Trend,
    TrendFilter,
)

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

_Row = tuple[int, int, int, int, int, bytes, bytes]
"""(subject, at, outcome, n, run_us, wait, run)"""


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
    first, in_step = since_us // MINUTE_US, step_us // MINUTE_US
    steps = [_Adding() for _ in range(points)]
    asked = _asked(db, project_id, question)
    with reading(db):
        for piece in _pieces(db, project_id, since_us, points, step_us):
            minutes = piece.grain.minutes
            for row in _read(db, project_id, piece, asked):
                steps[(row[1] * minutes - first) // in_step].add(row)
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
    with reading(db):
        low, high = since_us // MINUTE_US, (since_us + points * step_us) // MINUTE_US
        parts = pieces(db, project_id, low, high)
        names, lines = _lines(db, project_id, parts)
        other = lines.pop(OTHER, Counts()).ended
        ordered = sorted(
            (one for one in lines if lines[one].ended > 0),
            key=lambda one: (_ORDERS[order](lines[one]), lines[one].ended),
            reverse=True,
        )
        shown = {subject: _Adding() for subject in ordered[:limit]}
        for piece in parts:
            for row in _read(db, project_id, piece, _Asked(list(shown))):
                shown[row[0]].add(row)
    return TaskTrends(
        tasks=[TaskTrend(name=names[one], counts=adding.counts()) for one, adding in shown.items()],
        more=len(ordered) - len(shown),
        other=other,
    )


def _lines(
    db: Database, project_id: int, parts: Sequence[Piece]
) -> tuple[dict[int, str], dict[int, Counts]]:
    """Names and counts without percentiles, by subject."""
    names: dict[int, str] = {}
    counted: dict[int, _Adding] = {}
    for piece in parts:
        for name, subject, outcome, n, busy in _sums(db, project_id, piece):
            names[subject] = name
            counted.setdefault(subject, _Adding()).add((subject, 0, outcome, n, busy, b"", b""))
    return names, {subject: adding.counts() for subject, adding in counted.items()}


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
        _, _, outcome, n, run_us, wait, run = row
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
        wait, run = _spread(self._wait), _spread(self._run)
        return Counts(**self._n, busy_us=self._busy_us, wait=wait, run=run)


def _spread(total: Sum | None) -> Spread:
    if total is None:
        return Spread()
    n, (p50, p95, p99) = total.quantiles(_SHARES)
    return Spread(n=n, p50=p50, p95=p95, p99=p99)


def _steps(since_us: int, until_us: int, step_us: int) -> tuple[int, int]:
    """The start of the first step, and how many there are."""
    if step_us < MINUTE_US or step_us % MINUTE_US:
        raise Invalid("A step is a number of whole minutes.")
    since_us -= since_us % step_us
    points = -(-(until_us - since_us) // step_us)
    if not 0 < points <= MAX_POINTS:
        raise Invalid(f"Ask for 1 to {MAX_POINTS} steps: a later end, or a longer step.")
    return since_us, points


def _pieces(db: Database, project_id: int, since_us: int, points: int, step_us: int) -> list[Piece]:
    """The fewest rows of which each step is made."""
    fits = [grain for grain in GRAINS if step_us % grain.us == 0 and since_us % grain.us == 0]
    low, high = since_us // MINUTE_US, (since_us + points * step_us) // MINUTE_US
    return pieces(db, project_id, low, high, fits)


class _Asked(NamedTuple):
    """Whose rows, and which of them."""

    subjects: list[int]
    where: str = ""
    values: tuple[int, ...] = ()


def _asked(db: Database, project_id: int, question: TrendFilter) -> _Asked:
    if question.worker:
        if question != TrendFilter(worker=question.worker):
            raise Invalid("A worker cannot be combined with other filters.")
        workers = _words(db, project_id, Word.WORKER, question.worker)
        return _Asked(workers, " AND r.source = 0")
    if question == TrendFilter():
        return _Asked([EVERYTHING])
    names = _words(db, project_id, Word.NAME, question.task)
    return _Asked(names, *_narrowed(db, project_id, question))


def _narrowed(db: Database, project_id: int, question: TrendFilter) -> tuple[str, tuple[int, ...]]:
    """The rows of a task that a filter leaves. A word that nobody used leaves none."""
    where, values = " AND r.source > 0", list[int]()
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
    return where, tuple(values)


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


def _read(db: Database, project_id: int, piece: Piece, asked: _Asked) -> Iterable[_Row]:
    return db.execute(
        f"SELECT r.subject, r.at, r.outcome, r.n, r.run_us, r.wait, r.run"  # noqa: S608
        f" FROM {db.dialect.NUMBERS} CROSS JOIN {piece.grain.table} AS r ON r.project = ?"
        f" AND r.subject = j.value AND r.at >= ? AND r.at < ?{asked.where}",
        (db.dialect.listed(asked.subjects), project_id, piece.low, piece.high, *asked.values),
    )


def _sums(db: Database, project_id: int, piece: Piece) -> Iterable[tuple[str, int, int, int, int]]:
    """(name, subject, outcome, n, run_us) of every task name, and of what has none."""
    return db.execute(
        "WITH name (id, value) AS (VALUES (0, ''), (?, '') UNION ALL SELECT id, value FROM word"  # noqa: S608
        " WHERE project = ? AND kind = ?)"
        " SELECT min(w.value), r.subject, r.outcome, CAST(sum(r.n) AS BIGINT),"
        " CAST(sum(r.run_us) AS BIGINT)"
        f" FROM name AS w CROSS JOIN {piece.grain.table} AS r ON r.project = ? AND r.subject = w.id"
        " AND r.at >= ? AND r.at < ? GROUP BY r.subject, r.outcome",
        (OTHER, project_id, Word.NAME, project_id, piece.low, piece.high),
    )
