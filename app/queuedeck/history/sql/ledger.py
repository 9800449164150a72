# SPDX-License-Identifier: AGPL-3.0-only
"""What a group of events counts beside the rows of its tasks: rollups and failure groups, written
in the same transaction. Lives as long as the writer.
"""

from collections.abc import Callable, Mapping

from queuedeck.clock import MINUTE_US, Clock
from queuedeck.history.derive import Derived
from queuedeck.history.facts import AnyFact
from queuedeck.history.sql import failures, grains, rollups
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.failures import Change, Failures, never_failed
from queuedeck.history.sql.rollups import Rollups
from queuedeck.history.sql.tasks import Task

TABLES = grains.TABLES + failures.TABLES
PRUNED_ROWS = 2_000
"""So many rows are deleted at once: milliseconds."""
_AHEAD_US = 60 * MINUTE_US


class Ledger:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._rollups = Rollups(db)
        self._failures = Failures(db)

    def count(
        self, task: Task, seen: Derived, traceback_of: Callable[[AnyFact], str]
    ) -> int | None:
        """Count what the group changed of a task; `seen` is derived of its facts. The number of
        its failure group, 0 when it has none any more, None when it never had.
        """
        project, source, _ = task.identity
        self._rollups.count(project, source, task.before, task.facts, seen)
        if never_failed(task.facts):
            return None
        change = Change(project, task.id, task.before, task.facts, seen)
        return self._failures.count(change, traceback_of)

    def write(self) -> None:
        now_us = self._clock()
        self._rollups.write(now_us)
        self._failures.write(now_us + _AHEAD_US)

    def forget(self) -> None:
        """After a rollback: what is remembered may not be stored."""
        self._rollups.forget()
        self._failures.forget()

    def sum_up(self) -> bool:
        """One step of making coarse rollups of fine ones. Says whether there may be more to do."""
        return self._rollups.sum_up(self._clock())

    def prune(self, kept_days: Mapping[int, int]) -> bool:
        """Delete a slice of what is no longer kept. Says whether there was any."""
        now_us = self._clock()
        gone = rollups.prune(self._db, now_us, PRUNED_ROWS, kept_days)
        return gone + failures.prune(self._db, now_us, PRUNED_ROWS, kept_days) > 0
