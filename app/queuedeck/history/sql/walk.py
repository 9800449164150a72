# SPDX-License-Identifier: AGPL-3.0-only
"""Walks the days and the streams of a search backwards, within a budget of rows and time."""

import time
from collections.abc import Iterator

from queuedeck.clock import MINUTE_US
from queuedeck.history.ranges import Between
from queuedeck.history.sql.clauses import Clause
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import join, read_days, read_days_of, split
from queuedeck.history.sql.deep import COUNTED, Found
from queuedeck.history.sql.rows import columns
from queuedeck.history.sql.search import AnyStream, Search

CHUNK_ROWS = 5_000
"""Of each stream are looked at in one step, at most."""
DEEP_ROWS = 500
"""Of each stream are read and compared in Python in one step, at most."""
BUDGET_ROWS = 200_000
BUDGET_S = 0.15
NEWEST = (1 << 62) - 1
_NEWEST_N = split(NEWEST)[1]


class Budget:
    """How far one request may look."""

    def __init__(self, rows: int, seconds: float) -> None:
        self._rows = rows
        self._give_up = time.monotonic() + seconds
        self._looked = 0

    def looked(self, rows: int) -> None:
        self._looked += rows

    def is_spent(self) -> bool:
        """Never before anything was looked at."""
        return self._looked >= self._rows or (self._looked > 0 and time.monotonic() > self._give_up)


class Walk:
    """The matches of a search below an id, newest first."""

    def __init__(
        self, db: Database, search: Search, before: int, budget: Budget | None = None
    ) -> None:
        self._db = db
        self._search = search
        self._before = before
        self._budget = budget or Budget(BUDGET_ROWS, BUDGET_S)
        self._conditions: list[Clause] = []
        """Of the day in hand."""
        self.reached = 0
        """Where it stopped at its budget: everything from this id on was looked at."""

    def heads(self, wanted: int) -> Iterator[Found]:
        """Ends at the last match or when the budget is spent. `wanted` is how many are expected."""
        if self._search.needle is None and not self._search.streams:
            return
        first_day, first_n = split(self._before)
        keys = self._search.keys
        for day in read_days(self._db) if keys is None else read_days_of(self._db, keys):
            if day > first_day:
                continue
            low, high = self._window(day)
            below = min(first_n if day == first_day else _NEWEST_N, high + 1)
            for step in self._steps(day, below, low, wanted):
                yield from step
            if self.reached:
                return

    def _steps(self, day: int, below: int, low: int, wanted: int) -> Iterator[list[Found]]:
        """The matches in [low, below) of one day, in portions."""
        streams = self._search.streams_of(self._db, day)
        self._conditions = self._search.conditions_of(self._db, day)
        while streams and below > low:
            if self._budget.is_spent():
                self.reached = join(day, below)
                return
            floor = max(low, self._floor(day, streams, below))
            while below > floor:
                found, below = self._read(day, streams, below, floor, wanted)
                yield found
                if self._budget.is_spent():
                    break
            self._budget.looked(CHUNK_ROWS * len(streams) if floor > low else 1)

    def _read(
        self, day: int, streams: list[AnyStream], below: int, floor: int, wanted: int
    ) -> tuple[list[Found], int]:
        """Matches of all streams, each once, newest first, and down to where they are complete."""
        deep = self._search.deep
        limit = max(wanted, DEEP_ROWS) if deep else wanted
        found: dict[int, Found] = {}
        for stream in streams:
            rows = self._rows(day, stream, below, floor, limit)
            found.update({row.id: row for row in rows})
            if len(rows) == limit:
                floor = max(floor, split(rows[-1].id)[1])
        least = join(day, floor)
        heads = [found[number] for number in sorted(found, reverse=True) if number >= least]
        if deep:
            self._budget.looked(len(heads))
            heads = deep.fitting(heads)
        return heads, floor

    def _rows(self, day: int, stream: AnyStream, below: int, floor: int, limit: int) -> list[Found]:
        source = stream.rows_of(self._db, day, below, floor)
        conditions = self._conditions
        more = "".join(f" AND {clause.sql}" for clause in conditions)
        values = [value for clause in conditions for value in clause.values]
        rows = self._db.execute(
            f"SELECT {columns(day)}{COUNTED} FROM {source.rows.sql}{more}"  # noqa: S608
            f" ORDER BY {source.newest_first} LIMIT ?",
            (*source.rows.values, *values, limit),
        )
        return [Found(*row) for row in rows]

    def _floor(self, day: int, streams: list[AnyStream], below: int) -> int:
        """The `n` down to which every stream has at most a chunk of rows; 0 when that is all.

        Where nothing is dropped, no chunk is needed: LIMIT alone bounds the work.
        """
        search = self._search
        if not self._conditions and search.deep is None and not any(s.also for s in search.streams):
            return 0
        return max((self._chunk_end(day, stream, below) for stream in streams), default=0)

    def _chunk_end(self, day: int, stream: AnyStream, below: int) -> int:
        source = stream.rows_of(self._db, day, below, 0)
        row = self._db.execute(
            f"SELECT {source.n} FROM {source.rows.sql}"  # noqa: S608
            f" ORDER BY {source.newest_first} LIMIT 1 OFFSET ?",
            (*source.rows.values, CHUNK_ROWS - 1),
        ).fetchone()
        return 0 if row is None else row[0]

    def _window(self, day: int) -> tuple[int, int]:
        """The `n` that tasks of the asked times can have, both ends included."""
        if not self._search.times:
            return 0, _NEWEST_N
        spans = [span for when in self._search.times if (span := self._span(day, when))]
        if not spans:
            return 0, -1
        return min(low for low, _ in spans), max(high for _, high in spans)

    def _span(self, day: int, when: Between) -> tuple[int, int] | None:
        low = 0 if when.low is None else when.low // MINUTE_US
        high = NEWEST if when.high is None else when.high // MINUTE_US
        row = self._db.execute(
            f"SELECT min(low), max(high) FROM minute_{day} WHERE minute BETWEEN ? AND ?",  # noqa: S608
            (low, high),
        ).fetchone()
        return None if row[0] is None else (row[0], row[1])
