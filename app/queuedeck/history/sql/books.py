# SPDX-License-Identifier: AGPL-3.0-only
"""The table of one grain of rollups, and the rows of it that are still growing. Runs on the
writer's thread only.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from queuedeck.history.histogram import pack, unpack
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.grains import Grain, believed
from queuedeck.history.tally import Cell, Tally

MAX_KEYS = 2_000
"""So many rows of tasks and workers are made for a project and one row's time. Keys that come later
are counted together, under OTHER."""
EVERYTHING = -1
OTHER = -2
"""Tasks beyond MAX_KEYS. They are in EVERYTHING too."""
OTHER_WORKERS = -3
FEW_KEYS = 8
"""Fewer rows than this are looked for one by one."""
_MAX_CELLS = 8_000

Key = tuple[int, int, int, int, int, int, int]
"""(project, subject, at, outcome, source, queue, release): the primary key."""
Rows = list[tuple[Key, Cell]]
"""What is added to which rows."""
Stored = tuple[int, int, bytes, bytes]
"""(n, run_us, wait, run) of a row."""
KEY = "project, subject, at, outcome, source, queue, release"
COLUMNS = f"{KEY}, n, run_us, wait, run"


class Book:
    """Adds to the rows of one grain."""

    def __init__(self, db: Database, grain: Grain) -> None:
        self._db = db
        self._grain = grain
        self._cells: dict[Key, Cell] = {}
        self._absent: set[Key] = set()
        """Rows that are known not to be there; until the next `_flush`."""
        self._keys: dict[tuple[int, int], int] = {}
        """(project, at) -> rows of tasks and workers."""
        self._dirty: set[Key] = set()
        table = grain.table
        self._find = (
            f"SELECT n, run_us, wait, run FROM {table} WHERE project = ? AND subject = ?"  # noqa: S608
            " AND at = ? AND outcome = ? AND source = ? AND queue = ? AND release = ?"
        )
        self._find_many = (
            f"SELECT {COLUMNS} FROM {db.dialect.NUMBERS} CROSS JOIN {table} AS r"  # noqa: S608
            " ON r.project = ? AND r.subject = j.value AND r.at >= ? AND r.at < ?"
        )
        at = db.dialect.ROLLED_AT
        self._count_keys = (
            f"SELECT at, count(*) FROM {table} INDEXED BY {table}_at"  # noqa: S608
            f" WHERE {db.dialect.OF_PROJECT} = ? AND {at} >= ? AND {at} < ? AND subject >= 0"
            " GROUP BY at"
        )
        self._upsert = (
            f"INSERT INTO {table} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
            f" ON CONFLICT ({KEY}) DO UPDATE"
            " SET n = excluded.n, run_us = excluded.run_us, wait = excluded.wait,"
            " run = excluded.run"
        )

    def forget(self) -> None:
        self.forget_rows()
        self._keys.clear()
        self._dirty.clear()

    def forget_rows(self) -> None:
        """Not how many there are."""
        self._cells.clear()
        self._absent.clear()

    def add(
        self, tally: Tally, everything: Mapping[tuple[int, int, int], Cell], now_us: int
    ) -> Rows:
        """`everything` is the tally without its tasks: (project, minute, outcome) -> counts.
        Under which rows of this grain it was counted.
        """
        minutes, low, high = self._grain.minutes, *believed(self._grain, now_us)
        rows: Rows = []
        for (project, minute, source, task, queue, release, outcome), cell in tally.tasks.items():
            at = minute // minutes
            if low <= at < high:
                rows.append(((project, task, at, outcome, source, queue, release), cell))
        for (project, minute, outcome), cell in everything.items():
            at = minute // minutes
            if low <= at < high:
                rows.append(((project, EVERYTHING, at, outcome, 0, 0, 0), cell))
        for (project, minute, worker, outcome), cell in tally.workers.items():
            at = minute // minutes
            if low <= at < high:
                rows.append(((project, worker, at, outcome, 0, 0, 0), cell))
        return self.count_all(rows)

    def learn(self, key: Key, stored: Stored | None) -> None:
        """What is stored under a key, unless more of it is known here."""
        if key in self._cells:
            return
        if stored is None:
            self._absent.add(key)
            return
        n, run_us, wait, run = stored
        self._cells[key] = Cell(n, run_us, unpack(wait), unpack(run))

    def count_all(self, rows: Rows) -> Rows:
        """Add to the keys' own rows, or to the others' where there are too many, and write them.
        The same with the keys of these rows.
        """
        self._look_up([key for key, _ in rows])
        counted = [(self._count(key, cell), cell) for key, cell in rows]
        self._flush()
        return counted

    def _count(self, key: Key, cell: Cell) -> Key:
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

    def _look_up(self, keys: Iterable[Key]) -> None:
        """Read many rows with few statements: two for each run of times that follow one another."""
        unknown = {key for key in keys if key not in self._cells} - self._absent
        if len(unknown) < FEW_KEYS:
            return
        for project, first, last, subjects in _runs(unknown):
            span = (project, first, last)
            rows = self._db.execute(self._find_many, (self._db.dialect.listed(subjects), *span))
            for row in rows:
                if row[:7] in unknown:
                    self.learn(row[:7], row[7:])
            counts = dict.fromkeys(range(first, last), 0)
            counts.update(self._db.execute(self._count_keys, span).fetchall())
            for at, count in counts.items():
                self._keys.setdefault((project, at), count)
        self._absent |= unknown - self._cells.keys()

    def _has_room(self, project: int, at: int) -> bool:
        """Count one more row. Rows are never taken away, so what began as other stays so."""
        known = self._keys.get((project, at))
        if known is None:
            found = self._db.execute(self._count_keys, (project, at, at + 1)).fetchone()
            known = 0 if found is None else int(found[1])
        if known >= MAX_KEYS:
            self._keys[project, at] = known
            return False
        self._keys[project, at] = known + 1
        return True

    def _known(self, key: Key) -> Cell | None:
        known = self._cells.get(key)
        if known is None and key not in self._absent:
            row = self._db.execute(self._find, key).fetchone()
            if row is not None:
                known = self._cells[key] = Cell(row[0], row[1], unpack(row[2]), unpack(row[3]))
        return known

    def _flush(self) -> None:
        if self._dirty:
            self._db.executemany(self._upsert, self._rows(self._dirty))
        if len(self._cells) > _MAX_CELLS:
            self._cells = {key: self._cells[key] for key in self._dirty}
        if len(self._keys) > _MAX_CELLS:
            self._keys.clear()
        self._absent.clear()
        self._dirty.clear()

    def _rows(self, keys: Iterable[Key]) -> Iterable[tuple[int | bytes, ...]]:
        for key in keys:
            cell = self._cells[key]
            yield (*key, cell.n, cell.run_us, pack(cell.wait), pack(cell.run))


def _runs(keys: Iterable[Key]) -> Iterator[tuple[int, int, int, Sequence[int]]]:
    """(project, first `at`, behind the last, subjects) of times that follow one another."""
    times: dict[tuple[int, int], set[int]] = defaultdict(set)
    for key in keys:
        times[key[0], key[2]].add(key[1])
    run: tuple[int, int, int] | None = None
    subjects: set[int] = set()
    for project, at in sorted(times):
        if run is not None and run[0] == project and run[2] == at:
            run = (project, run[1], at + 1)
            subjects |= times[project, at]
            continue
        if run is not None:
            yield (*run, sorted(subjects))
        run, subjects = (project, at, at + 1), set(times[project, at])
    if run is not None:
        yield (*run, sorted(subjects))
