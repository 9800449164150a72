# SPDX-License-Identifier: AGPL-3.0-only
"""Work on older days, in steps that hold the writer for milliseconds. Each step is a transaction
of its own and sees by itself how far the work is: it goes on after a restart.
"""

import sqlite3

from queuedeck.history.sql.days import DAY_SHIFT, TABLES, WINDOW_DAYS, Days
from queuedeck.history.sql.fulltext import drop_words

CARRY_ROWS = 20_000
"""So many rows are read in one step."""
DROP_ROWS = 2_000
"""So many rows are deleted in one step."""
VACUUM_PAGES = 500
"""So many pages are given back to the file system in one step."""
FREE_SHARE = 8
"""One page of so many may be free: the next days use it."""


class CarryOver:
    """Takes a day out of those that are searched by id: its open tasks are noted first."""

    def __init__(self, db: sqlite3.Connection, days: Days) -> None:
        self._db = db
        self._days = days
        self._reached: dict[int, int] = {}

    def step(self, today: int) -> bool:
        """Says whether there was something to do."""
        self._db.execute("DELETE FROM open_task WHERE until_day < ?", (today,))
        row = self._db.execute(
            "SELECT min(day) FROM day WHERE searched AND day <= ?", (today - WINDOW_DAYS,)
        ).fetchone()
        if row[0] is None:
            return False
        day: int = row[0]
        low = self._reached.get(day, 0)
        self._db.execute(
            "INSERT OR REPLACE INTO open_task (id, key, until_day)"  # noqa: S608
            f" SELECT ? | n, key, NULL FROM task_{day} WHERE n > ? AND n <= ?"
            " AND state < 4 AND key >= 0",
            (day << DAY_SHIFT, low, low + CARRY_ROWS),
        )
        self._reached[day] = low + CARRY_ROWS
        newest = self._db.execute(f"SELECT max(n) FROM task_{day}").fetchone()[0]  # noqa: S608
        if (newest or 0) <= self._reached[day]:
            self._db.execute("UPDATE day SET searched = 0 WHERE day = ?", (day,))
            del self._reached[day]
            self._days.forget()
        return True


class DropDays:
    """Drops whole days: readers lose sight of a day first, then it is emptied, then it goes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def step(self, first_kept: int, max_bytes: int) -> bool:
        """Drop a piece of a day before `first_kept`, or of the oldest while the file holds more
        than `max_bytes` (0: any size). Days that are searched stay. Says whether there was one.
        """
        day = self._in_hand()
        if day is None:
            day = self._due(first_kept, max_bytes)
            if day is None:
                return False
            self._db.execute("UPDATE day SET dropping = 1 WHERE day = ?", (day,))
        elif not self._empty(day):
            self._end(day)
        return True

    def _in_hand(self) -> int | None:
        return self._db.execute("SELECT min(day) FROM day WHERE dropping").fetchone()[0]

    def _due(self, first_kept: int, max_bytes: int) -> int | None:
        oldest = self._db.execute(
            "SELECT min(day) FROM day WHERE NOT searched AND NOT dropping"
        ).fetchone()[0]
        if oldest is None:
            return None
        is_old = oldest < first_kept
        return oldest if is_old or (max_bytes and used_bytes(self._db) > max_bytes) else None

    def _empty(self, day: int) -> bool:
        """Take away one piece. Says whether there was one."""
        if drop_words(self._db, day):
            return True
        index = self._db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?"
            " AND sql IS NOT NULL",
            (f"task_{day}",),
        ).fetchone()
        if index is not None:
            self._db.execute(f"DROP INDEX {index[0]}")
            return True
        return any(self._shrink(f"{table}_{day}", day) for table in TABLES)

    def _shrink(self, table: str, day: int) -> bool:
        """Delete rows of a table, or the table when it has none."""
        found = self._db.execute(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        if found is None:
            return False
        key = "(n, fact)" if table == f"spare_{day}" else "rowid"
        columns = key.strip("()")
        some = f"SELECT {columns} FROM {table} ORDER BY {columns} LIMIT {DROP_ROWS}"  # noqa: S608
        if table == f"task_{day}":
            self._uncount(table, some)
        deleted = self._db.execute(f"DELETE FROM {table} WHERE {key} IN ({some})")  # noqa: S608
        if not deleted.rowcount:
            self._db.execute(f"DROP TABLE {table}")
        return True

    def _uncount(self, table: str, some: str) -> None:
        """Take tasks out of the counters of their project."""
        gone = self._db.execute(
            f"SELECT -count(*), project, source, state FROM {table} WHERE rowid IN ({some})"  # noqa: S608
            " GROUP BY project, source, state"
        ).fetchall()
        self._db.executemany(
            "UPDATE state_count SET n = n + ? WHERE project = ? AND source = ? AND state = ?", gone
        )

    def _end(self, day: int) -> None:
        """Nothing of the day's own is left: take away what the common tables say about it."""
        bounds = (day << DAY_SHIFT, (day + 1) << DAY_SHIFT)
        for table, column in (("open_task", "id"), ("cancel_request", "task")):
            deleted = self._db.execute(
                f"DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table}"  # noqa: S608
                f" WHERE {column} >= ? AND {column} < ? LIMIT {DROP_ROWS})",
                bounds,
            )
            if deleted.rowcount:
                return
        self._db.execute("DELETE FROM usage WHERE day = ?", (day,))
        self._db.execute("DELETE FROM day WHERE day = ?", (day,))


def give_back(db: sqlite3.Connection) -> bool:
    """Give free pages back to the file system, outside a transaction. Says whether it did."""
    pages, free = _pages(db)
    if free * FREE_SHARE <= pages:
        return False
    # Each step of the statement frees one page, and `execute` takes only one.
    db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    return _pages(db)[1] < free


def checkpoint(db: sqlite3.Connection) -> None:
    """Move the write-ahead log into the file and empty it, unless a reader is in the way."""
    db.execute("PRAGMA busy_timeout = 0")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute("PRAGMA busy_timeout = 5000")


def used_bytes(db: sqlite3.Connection) -> int:
    """What the file holds, without its free pages."""
    pages, free = _pages(db)
    return (pages - free) * db.execute("PRAGMA page_size").fetchone()[0]


def _pages(db: sqlite3.Connection) -> tuple[int, int]:
    """(all, free) pages of the file."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    return pages, db.execute("PRAGMA freelist_count").fetchone()[0]
