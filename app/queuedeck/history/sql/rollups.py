# SPDX-License-Identifier: AGPL-3.0-only
"""Counts per minute and hour, written in the transaction of the events they count, and those of
longer times, which are made of them: see `grains`.

A row belongs to a subject: everything, a task name, or a worker. So any question of `trends` is
a few ranges of the primary key. Runs on the writer's thread only.
"""

from collections.abc import Iterable, Mapping, Sequence

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import Derived
from queuedeck.history.histogram import pack, unpack
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.grains import (
    GRAINS,
    SUMMED,
    WRITTEN,
    Grain,
    Reached,
    believed,
    parts_of,
)
from queuedeck.history.states import Facts
from queuedeck.history.tally import Cell, Tally

MAX_KEYS = 2_000
"""So many rows of tasks and workers are made for a project and one row's time. Keys that come later
are counted together, under OTHER."""
EVERYTHING = -1
OTHER = -2
"""Tasks beyond MAX_KEYS. They are in EVERYTHING too."""
OTHER_WORKERS = -3
SETTLED_US = 2 * MINUTE_US
"""So long after its end a time is summed up: most of its events have come by then."""
SUMMED_ROWS = 1_000
"""About so many rows are summed up in one step: tens of milliseconds. Those of one minute or hour
go together: MAX_KEYS and a few."""
_MAX_CELLS = 8_000

_Key = tuple[int, int, int, int, int, int, int]
"""(project, subject, at, outcome, source, queue, release): the primary key."""
_Rows = list[tuple[_Key, Cell]]
_COLUMNS = "project, subject, at, outcome, source, queue, release, n, run_us, wait, run"
_NOTHING = (0, range(0))


class Rollups:
    """The writer's rollups: a group is tallied with `count`, then added with `write`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reached = Reached(db)
        self._books = {grain: _Book(db, grain) for grain in GRAINS}
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
            if any(
                minute < self._reached.get(project, grain) for project, minute in oldest.items()
            ):
                self._add_late(grain, written[parts_of(grain)])

    def sum_up(self, now_us: int) -> bool:
        """One step of summing up what is over. Says whether there may be more to do."""
        for (project,) in self._db.execute("SELECT project FROM event_count").fetchall():
            for grain in SUMMED:
                due = (now_us - SETTLED_US) // MINUTE_US // grain.every * grain.every
                if self._reached.get(project, grain) < due and self._sum_up(project, grain, due):
                    return True
        return False

    def forget(self) -> None:
        """After a rollback: the tables are right, the memory may not be."""
        self._tally = Tally()
        self._reached.forget()
        for book in self._books.values():
            book.forget()

    def _add_late(self, grain: Grain, rows: _Rows) -> None:
        """What came after its time was summed up, as the finer grain counted it: what that counted
        as other is other here too.
        """
        minutes, book = parts_of(grain).minutes, self._books[grain]
        for key, cell in rows:
            minute = key[2] * minutes
            if minute < self._reached.get(key[0], grain):
                book.count(_moved(key, minute // grain.minutes), cell)
        book.flush()

    def _sum_up(self, project: int, grain: Grain, due: int) -> bool:
        """Add the next portion of finer rows. Says whether there were any."""
        finer, book = parts_of(grain), self._books[grain]
        low = self._reached.get(project, grain) // finer.minutes
        bounds = _portion(self._db, finer, project, low, due // finer.minutes)
        if bounds is None:
            self._reached.set(project, grain, due)
            return False
        first, last = (at * finer.minutes // grain.minutes for at in (bounds[0], bounds[1] - 1))
        book.load(project, range(first, last + 1))
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM {finer.table} INDEXED BY {finer.table}_at"  # noqa: S608
            " WHERE project = ? AND at >= ? AND at < ?",
            (project, *bounds),
        )
        for *key, n, run_us, wait, run in rows.fetchall():
            at = key[2] * finer.minutes // grain.minutes
            book.count(_moved(key, at), Cell(n, run_us, unpack(wait), unpack(run)))
        book.flush()
        book.forget()  # Late events are few: they need no memory of all that.
        self._reached.set(project, grain, bounds[1] * finer.minutes)
        return True


def _moved(key: Sequence[int], at: int) -> _Key:
    return (key[0], key[1], at, key[3], key[4], key[5], key[6])


def _portion(
    db: Database, grain: Grain, project: int, low: int, high: int
) -> tuple[int, int] | None:
    """The first `at` that has rows, and up to where there are about so many as are summed up in one
    step; all of that first one at least. None: there are no rows.
    """
    sql = (
        f"SELECT at FROM {grain.table} INDEXED BY {grain.table}_at"  # noqa: S608
        " WHERE project = ? AND at >= ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?"
    )
    first = db.execute(sql, (project, low, high, 0)).fetchone()
    if first is None:
        return None
    beyond = db.execute(sql, (project, low, high, SUMMED_ROWS)).fetchone()
    return first[0], high if beyond is None else max(beyond[0], first[0] + 1)


class _Book:
    """The table of one grain, and the rows of it that are still growing."""

    def __init__(self, db: Database, grain: Grain) -> None:
        self._db = db
        self._grain = grain
        self._cells: dict[_Key, Cell] = {}
        self._keys: dict[tuple[int, int], int] = {}
        """(project, at) -> rows of tasks and workers."""
        self._loaded: tuple[int, range] = _NOTHING
        """(project, `at`) of which all rows are in memory."""
        self._dirty: set[_Key] = set()
        table = grain.table
        self._find = (
            f"SELECT n, run_us, wait, run FROM {table} WHERE project = ? AND subject = ?"  # noqa: S608
            " AND at = ? AND outcome = ? AND source = ? AND queue = ? AND release = ?"
        )
        self._upsert = (
            f"INSERT INTO {table} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
            " ON CONFLICT (project, subject, at, outcome, source, queue, release) DO UPDATE"
            " SET n = excluded.n, run_us = excluded.run_us, wait = excluded.wait,"
            " run = excluded.run"
        )

    def forget(self) -> None:
        self._cells.clear()
        self._keys.clear()
        self._loaded = _NOTHING
        self._dirty.clear()

    def add(
        self, tally: Tally, everything: Mapping[tuple[int, int, int], Cell], now_us: int
    ) -> _Rows:
        """`everything` is the tally without its tasks: (project, minute, outcome) -> counts.
        Under which rows of this grain it was counted.
        """
        minutes, low, high = self._grain.minutes, *believed(self._grain, now_us)
        rows: _Rows = []
        for (project, minute, source, task, queue, release, outcome), cell in tally.tasks.items():
            at = minute // minutes
            if low <= at < high:
                key = (project, task, at, outcome, source, queue, release)
                rows.append((self.count(key, cell), cell))
        for (project, minute, outcome), cell in everything.items():
            at = minute // minutes
            if low <= at < high:
                key = (project, EVERYTHING, at, outcome, 0, 0, 0)
                rows.append((self.count(key, cell), cell))
        for (project, minute, worker, outcome), cell in tally.workers.items():
            at = minute // minutes
            if low <= at < high:
                key = (project, worker, at, outcome, 0, 0, 0)
                rows.append((self.count(key, cell), cell))
        self.flush()
        return rows

    def count(self, key: _Key, cell: Cell) -> _Key:
        """To the key's own row, or to the other's once there are too many. The row's key."""
        own = self._known(key)
        if own is None:
            if key[1] >= 0 and not self._has_room(key[0], key[2]):
                key = (key[0], OTHER if key[4] else OTHER_WORKERS, key[2], key[3], 0, 0, 0)
                own = self._known(key)
            if own is None:
                own = self._cells[key] = Cell()
        self._dirty.add(key)
        own.add(cell)
        return key

    def load(self, project: int, times: range) -> None:
        """Take all rows of these into memory, with one statement."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM {self._grain.table} INDEXED BY {self._grain.table}_at"  # noqa: S608
            " WHERE project = ? AND at >= ? AND at < ?",
            (project, times.start, times.stop),
        )
        for *key, n, run_us, wait, run in rows:
            self._cells[_moved(key, key[2])] = Cell(n, run_us, unpack(wait), unpack(run))
        self._loaded = (project, times)

    def _has_room(self, project: int, at: int) -> bool:
        """Count one more row. Rows are never taken away, so what began as other stays so."""
        known = self._keys.get((project, at))
        if known is None:
            sql = f"SELECT count(*) FROM {self._grain.table} WHERE project = ? AND at = ?"  # noqa: S608
            found = self._db.execute(f"{sql} AND subject >= 0", (project, at)).fetchone()
            known = int(found[0])
        if known >= MAX_KEYS:
            self._keys[project, at] = known
            return False
        self._keys[project, at] = known + 1
        return True

    def _known(self, key: _Key) -> Cell | None:
        known = self._cells.get(key)
        if known is None and not (key[0] == self._loaded[0] and key[2] in self._loaded[1]):
            row = self._db.execute(self._find, key).fetchone()
            if row is not None:
                known = self._cells[key] = Cell(row[0], row[1], unpack(row[2]), unpack(row[3]))
        return known

    def flush(self) -> None:
        self._db.executemany(self._upsert, self._rows(self._dirty))
        if len(self._cells) > _MAX_CELLS:
            self._cells = {key: self._cells[key] for key in self._dirty}
        if len(self._keys) > _MAX_CELLS:
            self._keys.clear()
        self._dirty.clear()

    def _rows(self, keys: Iterable[_Key]) -> Iterable[tuple[int | bytes, ...]]:
        for key in keys:
            cell = self._cells[key]
            yield (*key, cell.n, cell.run_us, pack(cell.wait), pack(cell.run))


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
                f"DELETE FROM {grain.table} WHERE (project, subject, at, outcome, source, queue,"  # noqa: S608
                f" release) IN (SELECT project, subject, at, outcome, source, queue, release FROM"
                f" {grain.table} INDEXED BY {grain.table}_at WHERE project = ? AND at < ?"
                " LIMIT ?)",
                (project, first, left),
            ).rowcount
    return limit - left
