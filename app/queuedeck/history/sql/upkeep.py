# SPDX-License-Identifier: AGPL-3.0-only
"""Work on older days, in steps that hold the writer for milliseconds. Each step is a transaction
of its own and sees by itself how far the work is: it goes on after a restart.
"""

from collections.abc import Sequence

from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import DAY_SHIFT, WINDOW_DAYS, Days
from queuedeck.history.sql.fulltext import drop_waiting

CARRY_ROWS = 20_000
"""So many rows are read in one step."""
DROP_ROWS = 2_000
"""So many rows are deleted in one step."""


class CarryOver:
    """Takes a day out of those that are searched by id: its open tasks are noted first."""

    def __init__(self, db: Database, days: Days) -> None:
        self._db = db
        self._days = days
        self._reached: dict[int, int] = {}

    def step(self, today: int) -> bool:
        """Says whether there was something to do."""
        gone = self._db.execute(
            "DELETE FROM open_task WHERE id IN"
            " (SELECT id FROM open_task WHERE until_day < ? LIMIT ?)",
            (today, DROP_ROWS),
        )
        if gone.rowcount:
            return True
        row = self._db.execute(
            "SELECT min(day) FROM day WHERE searched = 1 AND day <= ?", (today - WINDOW_DAYS,)
        ).fetchone()
        if row[0] is None:
            return False
        day: int = row[0]
        low = self._reached.get(day, 0)
        self._db.execute(
            "INSERT INTO open_task (id, key, until_day)"  # noqa: S608
            f" SELECT ? | n, key, NULL FROM task_{day} WHERE n > ? AND n <= ?"
            " AND state < 4 AND key >= 0 ON CONFLICT (id) DO UPDATE SET until_day = NULL",
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

    def __init__(self, db: Database) -> None:
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
        elif not drop_waiting(self._db, day) and not self._db.dialect.drop_piece(self._db, day):
            self._end(day)
        return True

    def _in_hand(self) -> int | None:
        return self._db.execute("SELECT min(day) FROM day WHERE dropping > 0").fetchone()[0]

    def _due(self, first_kept: int, max_bytes: int) -> int | None:
        oldest = self._db.execute(
            "SELECT min(day) FROM day WHERE searched = 0 AND dropping = 0"
        ).fetchone()[0]
        if oldest is None:
            return None
        is_old = oldest < first_kept
        return (
            oldest
            if is_old or (max_bytes and self._db.dialect.used_bytes(self._db) > max_bytes)
            else None
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


def uncount(db: Database, table: str, condition: str, values: Sequence[object]) -> None:
    """Take tasks out of the counters of their project."""
    gone = db.execute(
        f"SELECT -count(*), project, source, state FROM {table} WHERE {condition}"  # noqa: S608
        " GROUP BY project, source, state",
        values,
    ).fetchall()
    db.executemany(
        "UPDATE state_count SET n = n + ? WHERE project = ? AND source = ? AND state = ?", gone
    )
