# SPDX-License-Identifier: AGPL-3.0-only
"""Projects that keep less than the server does: their tasks, or only what the tasks carried, are
taken out of days that others still have. In steps that hold the writer for milliseconds.

What was done is seen from the table `usage`: a project without a row for a day has no task in it,
and one whose tasks take no more than their heads has no payloads. So it goes on after a restart.
"""

from collections.abc import Sequence

from queuedeck.history.retention import Kept
from queuedeck.history.sql.changes import HEAD_BYTES
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import DAY_SHIFT, MOST_N
from queuedeck.history.sql.packed import PAYLOAD_BITS
from queuedeck.history.sql.upkeep import uncount

THIN_TASKS = 500
"""So many tasks are taken in one step."""


class Thinning:
    """`step` again and again, a transaction each."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reached: dict[tuple[int, int], int] = {}
        """(day, project) -> the `n` up to which payloads are gone."""
        self._dropped: dict[tuple[int, int], int] = {}
        """The same for tasks. On Postgres deleted rows stay in the indexes for a while: a search
        from the beginning would meet all of them, in each step.
        """

    def step(self, kept: Kept, today: int) -> bool:
        """Take away a piece of what the project no longer keeps. Says whether there was one."""
        project = kept.project_id
        day = self._due(project, today - kept.task_days + 1, "1 = 1")
        if day is not None:
            self._drop_tasks(day, project)
            return True
        day = self._due(project, today - kept.payload_days + 1, f"u.bytes > u.tasks * {HEAD_BYTES}")
        if day is not None:
            self._drop_payloads(day, project)
            return True
        return False

    def forget(self) -> None:
        """After a rollback."""
        self._reached.clear()
        self._dropped.clear()

    def _due(self, project: int, first_kept: int, condition: str) -> int | None:
        """The oldest day before the first that is kept. In days that are searched by id tasks
        still change: those wait."""
        return self._db.execute(
            "SELECT min(u.day) FROM usage AS u JOIN day AS d ON d.day = u.day"  # noqa: S608
            " WHERE u.project = ? AND u.day < ? AND d.searched = 0 AND d.dropping = 0"
            f" AND {condition}",
            (project, first_kept),
        ).fetchone()[0]

    def _drop_tasks(self, day: int, project: int) -> None:
        place = (day, project)
        found = self._some(day, project, self._dropped.get(place, 0))
        if not found:
            self._dropped.pop(place, None)
            self._db.execute("DELETE FROM usage WHERE day = ? AND project = ?", (day, project))
            return
        self._dropped[place] = found[-1]
        self._drop_payloads_of(day, found)
        self._drop_extras_of(day, ("tag", "trace"), _runs(found))
        table, some = f"task_{day}", self._db.dialect.NUMBERS
        chosen = (self._db.dialect.listed(found),)
        uncount(self._db, table, f"n IN (SELECT value FROM {some})", chosen)  # noqa: S608
        ids = [(day << DAY_SHIFT | n,) for n in found]
        self._db.executemany("DELETE FROM open_task WHERE id = ?", ids)
        self._db.executemany("DELETE FROM cancel_request WHERE task = ?", ids)
        self._db.execute(f"DELETE FROM {table} WHERE n IN (SELECT value FROM {some})", chosen)  # noqa: S608

    def _drop_payloads(self, day: int, project: int) -> None:
        place = (day, project)
        found = self._some(day, project, self._reached.get(place, 0))
        if found:
            self._drop_payloads_of(day, found)
            self._reached[place] = found[-1]
            return
        self._reached.pop(place, None)
        self._db.execute(
            f"UPDATE usage SET bytes = tasks * {HEAD_BYTES} WHERE day = ? AND project = ?",  # noqa: S608
            place,
        )

    def _drop_payloads_of(self, day: int, found: list[int]) -> None:
        runs = _runs(found)
        bounds = [(low << PAYLOAD_BITS, high << PAYLOAD_BITS) for low, high in runs]
        for table in ("call", "outcome"):
            self._db.executemany(f"DELETE FROM {table}_{day} WHERE id >= ? AND id < ?", bounds)  # noqa: S608
        self._db.executemany(f"DELETE FROM spare_{day} WHERE n >= ? AND n < ?", runs)  # noqa: S608
        self._drop_extras_of(day, ("progress", "log", "log_use"), runs)

    def _drop_extras_of(
        self, day: int, tables: Sequence[str], runs: Sequence[tuple[int, int]]
    ) -> None:
        """Where any task of the day has them."""
        for table in tables:
            if self._db.dialect.has_table(self._db, f"{table}_{day}"):
                self._db.executemany(f"DELETE FROM {table}_{day} WHERE n >= ? AND n < ?", runs)  # noqa: S608

    def _some(self, day: int, project: int, low: int) -> list[int]:
        """The next tasks of the project, in the order of their `n`."""
        span = self._db.dialect.range_of(("project",), (project,), "n", low + 1, MOST_N)
        rows = self._db.execute(
            f"SELECT n FROM task_{day} WHERE {span.condition}"  # noqa: S608
            f" ORDER BY {span.oldest_first} LIMIT {THIN_TASKS}",
            span.values,
        )
        return [row[0] for row in rows]


def _runs(found: list[int]) -> list[tuple[int, int]]:
    """(first, behind the last) of those that follow one another: mostly few, often one."""
    runs: list[tuple[int, int]] = []
    for n in found:
        if runs and runs[-1][1] == n:
            runs[-1] = (runs[-1][0], n + 1)
        else:
            runs.append((n, n + 1))
    return runs
