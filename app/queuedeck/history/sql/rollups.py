# SPDX-License-Identifier: AGPL-3.0-only
"""Counts per minute, hour and day, written in the transaction of the events they count.

A row belongs to a subject: everything, a task name, or a worker. So any question of `trends` is
a few ranges of the primary key. Runs on the writer's thread only.
"""

from collections.abc import Iterable
from typing import NamedTuple

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.derive import Derived
from queuedeck.history.histogram import pack, unpack
from queuedeck.history.sql.database import Database
from queuedeck.history.states import Facts
from queuedeck.history.tally import Cell, Tally

MAX_KEYS = 2_000
"""So many rows of tasks and workers are made for a project and a minute, hour or day. Keys that
come later are counted together, under OTHER."""
EVERYTHING = -1
OTHER = -2
"""Tasks beyond MAX_KEYS. They are in EVERYTHING too."""
OTHER_WORKERS = -3
AHEAD_DAYS = 14
"""A clock that is further ahead is not believed, and not counted."""
_MAX_CELLS = 8_000
_DAY_MINUTES = DAY_US // MINUTE_US


class Grain(NamedTuple):
    table: str
    minutes: int
    kept_days: int

    @property
    def us(self) -> int:
        return self.minutes * MINUTE_US


GRAINS = (
    Grain("roll_minute", 1, 14),
    Grain("roll_hour", 60, 400),
    Grain("roll_day", _DAY_MINUTES, 400),
)

TABLES = "".join(
    f"""
CREATE TABLE {grain.table} (
  project INTEGER NOT NULL, subject INTEGER NOT NULL, at INTEGER NOT NULL,
  outcome INTEGER NOT NULL, source INTEGER NOT NULL, queue INTEGER NOT NULL,
  release INTEGER NOT NULL, n INTEGER NOT NULL, run_us INTEGER NOT NULL, wait BLOB NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (project, subject, at, outcome, source, queue, release)) STRICT, WITHOUT ROWID;
CREATE INDEX {grain.table}_at ON {grain.table} (project, at);
"""
    for grain in GRAINS
)

_Key = tuple[int, int, int, int, int, int, int]
"""(project, subject, at, outcome, source, queue, release): the primary key."""


class Rollups:
    """The writer's rollups: a group is tallied with `count`, then added with `write`."""

    def __init__(self, db: Database) -> None:
        self._books = [_Book(db, grain) for grain in GRAINS]
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
        for book in self._books:
            book.add(tally, everything, now_us)

    def forget(self) -> None:
        """After a rollback: the tables are right, the memory may not be."""
        self._tally = Tally()
        for book in self._books:
            book.forget()


class _Book:
    """The table of one grain, and the rows of it that are still growing."""

    def __init__(self, db: Database, grain: Grain) -> None:
        self._db = db
        self._grain = grain
        self._cells: dict[_Key, Cell] = {}
        self._keys: dict[tuple[int, int], int] = {}
        """(project, at) -> rows of tasks and workers."""
        self._dirty: set[_Key] = set()
        table = grain.table
        self._find = (
            f"SELECT n, run_us, wait, run FROM {table} WHERE project = ? AND subject = ?"  # noqa: S608
            " AND at = ? AND outcome = ? AND source = ? AND queue = ? AND release = ?"
        )
        self._upsert = (
            f"INSERT INTO {table} (project, subject, at, outcome, source, queue, release, n,"  # noqa: S608
            " run_us, wait, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (project, subject, at, outcome, source, queue, release) DO UPDATE"
            " SET n = excluded.n, run_us = excluded.run_us, wait = excluded.wait,"
            " run = excluded.run"
        )

    def forget(self) -> None:
        self._cells.clear()
        self._keys.clear()
        self._dirty.clear()

    def add(self, tally: Tally, everything: dict[tuple[int, int, int], Cell], now_us: int) -> None:
        """`everything` is the tally without its tasks: (project, minute, outcome) -> counts."""
        minutes, low, high = self._grain.minutes, *_believed(self._grain, now_us)
        for (project, minute, source, task, queue, release, outcome), cell in tally.tasks.items():
            at = minute // minutes
            if low <= at < high:
                key = (project, task, at, outcome, source, queue, release)
                self._add(key, OTHER, cell)
        for (project, minute, outcome), cell in everything.items():
            at = minute // minutes
            if low <= at < high:
                self._cell((project, EVERYTHING, at, outcome, 0, 0, 0)).add(cell)
        for (project, minute, worker, outcome), cell in tally.workers.items():
            at = minute // minutes
            if low <= at < high:
                self._add((project, worker, at, outcome, 0, 0, 0), OTHER_WORKERS, cell)
        self._flush()

    def _add(self, key: _Key, other: int, cell: Cell) -> None:
        """To the key's own row, or to the other's once there are too many."""
        own = self._known(key)
        if own is not None:
            self._dirty.add(key)
        elif self._has_room(key[0], key[2]):
            own = self._make(key)
        else:
            own = self._cell((key[0], other, key[2], key[3], 0, 0, 0))
        own.add(cell)

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

    def _cell(self, key: _Key) -> Cell:
        self._dirty.add(key)
        return self._known(key) or self._make(key)

    def _known(self, key: _Key) -> Cell | None:
        known = self._cells.get(key)
        if known is None:
            row = self._db.execute(self._find, key).fetchone()
            if row is not None:
                known = self._cells[key] = Cell(row[0], row[1], unpack(row[2]), unpack(row[3]))
        return known

    def _make(self, key: _Key) -> Cell:
        self._dirty.add(key)
        made = self._cells[key] = Cell()
        return made

    def _flush(self) -> None:
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


def _believed(grain: Grain, now_us: int) -> tuple[int, int]:
    """The first row that is still kept, and the first that is too far ahead."""
    today = now_us // DAY_US
    first, last = today - grain.kept_days, today + AHEAD_DAYS
    return first * _DAY_MINUTES // grain.minutes, last * _DAY_MINUTES // grain.minutes


def prune(db: Database, now_us: int, limit: int) -> int:
    """Delete up to `limit` rows that are no longer kept. How many that were."""
    left = limit
    for grain in GRAINS:
        first, _ = _believed(grain, now_us)
        for (project,) in db.execute("SELECT project FROM event_count").fetchall():
            if left <= 0:
                break
            left -= db.execute(
                f"DELETE FROM {grain.table} WHERE (project, subject, at, outcome, source, queue,"  # noqa: S608
                f" release) IN (SELECT project, subject, at, outcome, source, queue, release FROM"
                f" {grain.table} INDEXED BY {grain.table}_at WHERE project = ? AND at < ?"
                " LIMIT ?)",
                (project, first, left),
            ).rowcount
    return limit - left
