# SPDX-License-Identifier: AGPL-3.0-only
"""Day tables. Tasks and their payloads are kept by day: ingest always works on small indexes, and
a day is dropped whole. `id = day << 40 | n`: the id names its day and is the cursor of every list.
"""

from collections.abc import Sequence

from queuedeck.history.sql.database import Database

DAY_SHIFT = 40
MOST_N = 1 << DAY_SHIFT
"""More than any `n`."""
DAYS_AT_ONCE = 50
"""So many are asked for keys by one statement."""
MOST_KEYS = 20
"""For more than so many each day is worth a look."""
WINDOW_DAYS = 3
"""New tasks are filed under today or one of the days before it, and looked for in all of these."""

DAY_LAYOUT = 3
"""Kept for each day: old days are never rewritten, they only get new columns."""

TABLES = ("task", "call", "outcome", "spare", "minute")
EXTRA_TABLES = ("progress", "tag", "trace", "log", "log_use")
"""Made when the first task of a day says something beside its states."""


def split(task_id: int) -> tuple[int, int]:
    """(day, n) of a task."""
    return task_id >> DAY_SHIFT, task_id & ((1 << DAY_SHIFT) - 1)


def join(day: int, n: int) -> int:
    return day << DAY_SHIFT | n


def read_days(db: Database) -> list[int]:
    """The days that can be read, newest first."""
    return [
        row[0] for row in db.execute("SELECT day FROM day WHERE dropping = 0 ORDER BY day DESC")
    ]


def read_days_of(db: Database, keys: Sequence[object]) -> list[int]:
    """The days in which some task may have one of these keys, newest first. A statement for each
    day would cost a database in another process more than all of the rest.
    """
    days = read_days(db)
    if len(keys) > MOST_KEYS:
        return days
    marks = ", ".join("?" * len(keys))
    found: set[int] = set()
    for begin in range(0, len(days), DAYS_AT_ONCE):
        some = days[begin : begin + DAYS_AT_ONCE]
        each = [
            f"SELECT {day} FROM task_{day} INDEXED BY task_{day}_key WHERE key IN ({marks})"  # noqa: S608
            for day in some
        ]
        found.update(row[0] for row in db.execute(" UNION ALL ".join(each), [*keys] * len(some)))
    return [day for day in days if day in found]


def has_day(db: Database, day: int) -> bool:
    """Whether a day can be read."""
    row = db.execute("SELECT 1 FROM day WHERE day = ? AND dropping = 0", (day,)).fetchone()
    return row is not None


def raise_days(db: Database) -> None:
    """Bring the days of an older layout to this one. New columns have a default that no row needs
    to hold, so rows stay as they are.
    """
    rows = db.execute("SELECT day, layout FROM day WHERE layout < ? ORDER BY day", (DAY_LAYOUT,))
    for day, layout in rows.fetchall():
        db.execute(db.dialect.BEGIN)
        try:
            for number in range(layout + 1, DAY_LAYOUT + 1):
                for statement in db.dialect.day_step(day, number):
                    db.execute(statement)
            db.execute("UPDATE day SET layout = ? WHERE day = ?", (DAY_LAYOUT, day))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


class Days:
    """The day tables as the writer uses them. What it remembers can be forgotten at any time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._searched: list[int] = []
        self._next: dict[int, int] = {}

    def forget(self) -> None:
        self._searched.clear()
        self._next.clear()

    def searched(self) -> list[int]:
        """The days in which tasks are looked for by id, newest first."""
        if not self._searched:
            rows = self._db.execute("SELECT day FROM day WHERE searched = 1 ORDER BY day DESC")
            self._searched = [row[0] for row in rows]
        return self._searched

    def next_id(self, day: int) -> int:
        """The next id of a day; its tables are made with the first."""
        n = self._next.get(day)
        if n is None:
            self.make(day)
            n = self._db.execute(f"SELECT coalesce(max(n), 0) FROM task_{day}").fetchone()[0]  # noqa: S608
            n += 1
        self._next[day] = n + 1
        return join(day, n)

    def make(self, day: int) -> None:
        """Make the tables of a day, if there are none. Where tasks are filed, they are searched."""
        if day in self.searched():
            return
        self._searched.clear()
        if self._db.execute("UPDATE day SET searched = 1 WHERE day = ?", (day,)).rowcount:
            return  # The clock was ahead, and has been put right.
        for statement in self._db.dialect.day_tables(day):
            self._db.execute(statement)
        self._db.execute(
            "INSERT INTO day (day, layout, searched) VALUES (?, ?, 1)", (day, DAY_LAYOUT)
        )
