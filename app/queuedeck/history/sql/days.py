# SPDX-License-Identifier: AGPL-3.0-only
"""Day tables. Tasks and their payloads are kept by day: ingest always works on small indexes, and
a day is dropped whole. `id = day << 40 | n`: the id names its day and is the cursor of every list.
"""

import sqlite3

DAY_SHIFT = 40
WINDOW_DAYS = 3
"""New tasks are filed under today or one of the days before it, and looked for in all of these."""

DAY_LAYOUT = 2
"""Kept for each day: old days are never rewritten."""

# States are stored by their number in `names.STATE_NUMBERS`: open ones are 0 to 3, 4 is succeeded,
# which most tasks are: it has no index. (Two partial ones, `< 4` and `> 4`, made SQLite sort.)
# Payloads are apart from the head rows, and calls from outcomes: calls come in the order of the ids
# and fill their pages, outcomes do not. Both are kept under `packed.payload_id`.
_TABLES = """
CREATE TABLE task_{day} (
  n INTEGER PRIMARY KEY, key INTEGER NOT NULL, ext ANY NOT NULL, project INTEGER NOT NULL,
  source INTEGER NOT NULL, generation INTEGER NOT NULL, flags INTEGER NOT NULL,
  state INTEGER NOT NULL, name INTEGER NOT NULL, queue INTEGER NOT NULL, worker INTEGER NOT NULL,
  attempt INTEGER NOT NULL, exception INTEGER NOT NULL, failure INTEGER NOT NULL DEFAULT 0,
  seen_us INTEGER NOT NULL, running_us INTEGER, wait_us INTEGER, run_us INTEGER,
  facts BLOB NOT NULL) STRICT;
CREATE INDEX task_{day}_key ON task_{day} (key);
CREATE INDEX task_{day}_project ON task_{day} (project);
CREATE INDEX task_{day}_name ON task_{day} (name);
CREATE INDEX task_{day}_state ON task_{day} (project, state) WHERE state <> 4;
CREATE INDEX task_{day}_failure ON task_{day} (failure) WHERE failure > 0;
CREATE TABLE call_{day} (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE outcome_{day} (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE spare_{day} (
  n INTEGER NOT NULL, fact BLOB NOT NULL, PRIMARY KEY (n, fact)) STRICT, WITHOUT ROWID;
CREATE TABLE minute_{day} (
  minute INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL) STRICT
"""
"""`spare` has the facts that only the timeline shows: a second start of one attempt, an outcome
that contradicts. `minute` says which `n` the tasks first seen in a minute have."""

TABLES = ("task", "call", "outcome", "spare", "minute")


def split(task_id: int) -> tuple[int, int]:
    """(day, n) of a task."""
    return task_id >> DAY_SHIFT, task_id & ((1 << DAY_SHIFT) - 1)


def join(day: int, n: int) -> int:
    return day << DAY_SHIFT | n


def read_days(db: sqlite3.Connection) -> list[int]:
    """The days that can be read, newest first."""
    return [
        row[0] for row in db.execute("SELECT day FROM day WHERE NOT dropping ORDER BY day DESC")
    ]


def has_day(db: sqlite3.Connection, day: int) -> bool:
    """Whether a day can be read."""
    row = db.execute("SELECT 1 FROM day WHERE day = ? AND NOT dropping", (day,)).fetchone()
    return row is not None


class Days:
    """The day tables as the writer uses them. What it remembers can be forgotten at any time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._searched: list[int] = []
        self._next: dict[int, int] = {}

    def forget(self) -> None:
        self._searched.clear()
        self._next.clear()

    def searched(self) -> list[int]:
        """The days in which tasks are looked for by id, newest first."""
        if not self._searched:
            rows = self._db.execute("SELECT day FROM day WHERE searched ORDER BY day DESC")
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
        for statement in _TABLES.format(day=day).split(";"):
            self._db.execute(statement)
        self._db.execute(
            "INSERT INTO day (day, layout, searched) VALUES (?, ?, 1)", (day, DAY_LAYOUT)
        )
