# SPDX-License-Identifier: AGPL-3.0-only
"""Counts per minute and hour, written in the transaction of the events they count, and those of
longer times, which are made of them: see `grains`, and `books` for the tables' rows.

A row belongs to a subject: everything, a task name, or a worker. So any question of `trends` is
a few ranges of the primary key. Runs on the writer's thread only.
"""

from collections.abc import Mapping
from typing import NamedTuple

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import Derived
from queuedeck.history.histogram import unpack
from queuedeck.history.sql.books import COLUMNS, KEY, Book, Key, Rows, Stored
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.grains import (
    GRAINS,
    SUMMED,
    WRITTEN,
    Grain,
    Place,
    Reached,
    believed,
    parts_of,
)
from queuedeck.history.states import Facts
from queuedeck.history.tally import Cell, Tally

SETTLED_US = 2 * MINUTE_US
"""So long after its end a time is summed up: most of its events have come by then."""
SUMMED_ROWS = 100
"""At most so many rows are summed up in one step, however many one minute or hour has: tens of
milliseconds, most of them for histograms with many buckets.
"""
_KEYS = 7
"""So many columns a key has."""


class Rollups:
    """The writer's rollups: a group is tallied with `count`, then added with `write`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reached = Reached(db)
        self._books = {grain: Book(db, grain) for grain in GRAINS}
        self._tally = Tally()

    def count(self, project: int, source: int, before: Facts, after: Facts, seen: Derived) -> None:
        """Count what the group changed of a task; `seen` is derived of `after`."""
        self._tally.count(project, source, before, after, seen)

    def write(self, now_us: int) -> None:
        """Add what was counted since the last time."""
        tally, self._tally = self._tally, Tally()
        if not tally.tasks:
            return
        everything: dict[tuple[int, int, int], Cell] = {}
        for (project, minute, *_, outcome), cell in tally.tasks.items():
            everything.setdefault((project, minute, outcome), Cell()).add(cell)
        written = {grain: self._books[grain].add(tally, everything, now_us) for grain in WRITTEN}
        oldest: dict[int, int] = {}
        for project, minute, _ in everything:
            oldest[project] = min(minute, oldest.get(project, minute))
        for grain in SUMMED:
            finer = parts_of(grain)
            if any(
                minute < self._reached.get(project, grain).end(finer)
                for project, minute in oldest.items()
            ):
                self._add_late(grain, written[finer])

    def sum_up(self, now_us: int) -> bool:
        """One step of summing up what is over. Says whether there may be more to do."""
        for (project,) in self._db.execute("SELECT project FROM event_count").fetchall():
            for grain in SUMMED:
                due = (now_us - SETTLED_US) // MINUTE_US // grain.every * grain.every
                if self._reached.get(project, grain).until < due and self._sum_up(
                    project, grain, due
                ):
                    return True
        return False

    def forget(self) -> None:
        """After a rollback: the tables are right, the memory may not be."""
        self._tally = Tally()
        self._reached.forget()
        for book in self._books.values():
            book.forget()

    def _add_late(self, grain: Grain, rows: Rows) -> None:
        """What came after it was summed up, as the finer grain counted it: what that counted as
        other is other here too.
        """
        finer = parts_of(grain)
        late: Rows = []
        for key, cell in rows:
            place = self._reached.get(key[0], grain)
            if (key[2], key[1], *key[3:]) <= (place.until // finer.minutes, *place.key):
                late.append((_moved(key, finer, grain), cell))
        self._books[grain].count_all(late)

    def _sum_up(self, project: int, grain: Grain, due: int) -> bool:
        """Add the next portion of finer rows. Says whether there were any."""
        finer, book = parts_of(grain), self._books[grain]
        place = self._reached.get(project, grain)
        span = _span(self._db, finer, project, place.until, due)
        if span is None:
            self._reached.set(project, grain, Place(due))
            return False
        rows = _read(self._db, project, grain, span, place)
        moved = [(_moved(row.key, finer, grain), row.cell) for row in rows]
        for (key, _), row in zip(moved, rows, strict=True):
            book.learn(key, row.stored)
        book.count_all(moved)
        book.forget_rows()  # Late events are few: they need no memory of all that.
        if len(rows) < SUMMED_ROWS:
            self._reached.set(project, grain, Place(span[1] * finer.minutes))
        else:
            _, subject, at, outcome, source, queue, release = rows[-1].key
            last = (subject, outcome, source, queue, release)
            self._reached.set(project, grain, Place(at * finer.minutes, last))
        return True


def _moved(key: Key, finer: Grain, grain: Grain) -> Key:
    """The row that a finer row is added to."""
    project, subject, at, outcome, source, queue, release = key
    at = at * finer.minutes // grain.minutes
    return (project, subject, at, outcome, source, queue, release)


def _span(
    db: Database, grain: Grain, project: int, since: int, until: int
) -> tuple[int, int] | None:
    """The first `at` that has rows in these minutes, and up to where there are about so many as
    are summed up in one step; all of that first one at least. None: there are no rows.
    """
    at, low, high = db.dialect.ROLLED_AT, since // grain.minutes, until // grain.minutes
    sql = (
        f"SELECT at FROM {grain.table} INDEXED BY {grain.table}_at"  # noqa: S608
        f" WHERE {db.dialect.OF_PROJECT} = ? AND {at} >= ? AND {at} < ?"
        f" ORDER BY {at} LIMIT 1 OFFSET ?"
    )
    first = db.execute(sql, (project, low, high, 0)).fetchone()
    if first is None:
        return None
    beyond = db.execute(sql, (project, low, high, SUMMED_ROWS)).fetchone()
    return first[0], high if beyond is None else max(beyond[0], first[0] + 1)


class _Row(NamedTuple):
    """A finer row, and what is stored in the row that it will be added to."""

    key: Key
    cell: Cell
    stored: Stored | None


def _read(
    db: Database, project: int, grain: Grain, span: tuple[int, int], place: Place
) -> list[_Row]:
    """The next finer rows of a span, in the order in which they are summed up."""
    finer, names = parts_of(grain), db.dialect
    order = "at, subject, outcome, source, queue, release"
    same = " AND ".join(f"c.{one} = f.{one}" for one in ("subject", *order.split(", ")[2:]))
    rows = db.execute(
        "SELECT f.*, c.n, c.run_us, c.wait, c.run FROM"  # noqa: S608
        f" (SELECT {COLUMNS} FROM {finer.table} INDEXED BY {finer.table}_at"
        f" WHERE {names.OF_PROJECT} = ? AND {names.ROLLED_AT} >= ? AND {names.ROLLED_AT} < ?"
        f" AND ({order}) > (?, ?, ?, ?, ?, ?) ORDER BY {order} LIMIT ?) AS f"
        # With a project of its own Postgres could take that, of all conditions, to find the rows.
        f" LEFT JOIN {grain.table} AS c ON c.project = f.project AND {same}"
        f" AND c.at = f.at / {grain.minutes // finer.minutes}"
        f" ORDER BY {', '.join(f'f.{one}' for one in order.split(', '))}",
        (project, *span, place.until // finer.minutes, *place.key, SUMMED_ROWS),
    )
    found: list[_Row] = []
    for row in rows:
        n, run_us, wait, run = row[_KEYS : _KEYS + 4]
        stored = row[_KEYS + 4 :]
        cell = Cell(n, run_us, unpack(wait), unpack(run))
        found.append(_Row(row[:_KEYS], cell, None if stored[0] is None else stored))
    return found


def prune(db: Database, now_us: int, limit: int, kept_days: Mapping[int, int]) -> int:
    """Delete up to `limit` rows that are no longer kept: as the grain says, or for fewer days for
    the projects that have some in `kept_days`. How many that were.
    """
    left = limit
    projects = db.execute("SELECT project FROM event_count").fetchall()
    for grain in GRAINS:
        for (project,) in projects:
            if left <= 0:
                break
            days = min(grain.kept_days, kept_days.get(project, grain.kept_days))
            first, _ = believed(grain._replace(kept_days=days), now_us)
            left -= db.execute(
                f"DELETE FROM {grain.table} WHERE ({KEY}) IN (SELECT {KEY} FROM {grain.table}"  # noqa: S608
                f" INDEXED BY {grain.table}_at WHERE {db.dialect.OF_PROJECT} = ?"
                f" AND {db.dialect.ROLLED_AT} < ? LIMIT ?)",
                (project, first, left),
            ).rowcount
    return limit - left
