# SPDX-License-Identifier: AGPL-3.0-only
"""The history store as the rest of the server sees it. Implementations: `sqlite/`, `postgres/`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from queuedeck.history.batches import Batch, Recorded
from queuedeck.history.failures import FailureDetail, FailureGroups, FailureOf, FailureOrder
from queuedeck.history.filters import TaskFilter
from queuedeck.history.queues import QueueCounts, QueueHour, QueueSource
from queuedeck.history.retention import DayUsage, Kept
from queuedeck.history.surveys import Facets, Histogram
from queuedeck.history.suspects import OpenTasks
from queuedeck.history.tasks import (
    SelectedTask,
    Selection,
    TaskDetail,
    TaskPage,
    TaskSample,
    TaskState,
)
from queuedeck.history.totals import Totals
from queuedeck.history.trends import TaskOrder, TaskTrends, Trend, TrendFilter


class History(Protocol):
    """Tasks and their events. Reads never wait for the writer."""

    async def open(self) -> None:
        """Make or check the schema and start the writer. Raises `Unavailable` with the reason."""
        ...

    async def close(self) -> None:
        """Finish the group in hand, stop the writer, close the files."""
        ...

    async def record(self, group: Sequence[Batch]) -> Recorded:
        """Store a group in one durable transaction, lane cursors included.

        Numbers that are stored already are skipped. Returns after the commit; raises
        `Unavailable` when nothing was stored (disk full, locked), and then all of it may be sent
        again.
        """
        ...

    async def committed(self, project_id: int, lanes: Sequence[str]) -> dict[str, int]:
        """The last stored number of each lane; 0 for lanes never seen.

        A lane that belongs to another project is left out.
        """
        ...

    async def list_tasks(
        self, project_id: int, question: TaskFilter, limit: int, after: str = ""
    ) -> TaskPage:
        """The newest tasks that match, older than the cursor `after`."""
        ...

    async def facets(self, project_id: int, question: TaskFilter) -> Facets:
        """How many tasks match, by state, task, label, queue, engine, worker, error and tag:
        each without what the question itself asks of it. Counts the newest matches within a
        budget, and says so.
        """
        ...

    async def histogram(self, project_id: int, question: TaskFilter) -> Histogram:
        """The newest matches over time, by state; within the same budget."""
        ...

    async def values(
        self, project_id: int, key: str, piece: str, question: TaskFilter, limit: int
    ) -> dict[str, int]:
        """Up to `limit` values of a key of the filter that hold the piece, whatever its case; each
        with how many of the newest thousand matches of the rest of the question have it, or 0.
        """
        ...

    async def index_words(self) -> bool:
        """Take a portion of tasks into the index of words. Says whether there may be more."""
        ...

    async def find_task(
        self,
        project_id: int,
        engine: str,
        task_id: str,
        generation: int | None = None,
        *,
        key: int | None = None,
    ) -> TaskDetail | None:
        """One task with its attempts and timeline: of those that the id has named, the one with
        this key, or with this number, or else the newest.
        """
        ...

    async def sealed_call(self, project_id: int, key: int) -> bytes:
        """The sealed original call of the task with this key; empty if there is none."""
        ...

    async def sealed_calls(self, project_id: int, keys: Sequence[int]) -> dict[int, bytes]:
        """The same of many tasks in a few statements; those that have none are left out."""
        ...

    async def select_tasks(
        self,
        project_id: int,
        question: TaskFilter,
        limit: int,
        after: str = "",
        newest: int | None = None,
    ) -> Selection:
        """A portion of all tasks that match, newest first; none with a key above `newest`."""
        ...

    async def samples(self, project_id: int, question: TaskFilter, limit: int) -> list[TaskSample]:
        """The newest tasks that match, with what they carried; as far as one page looks."""
        ...

    async def read_selected(self, project_id: int, keys: Sequence[int]) -> dict[int, SelectedTask]:
        """The tasks with these keys as they are now; those that are gone are left out."""
        ...

    async def open_tasks(
        self, project_id: int, states: Sequence[TaskState], after: int, limit: int
    ) -> OpenTasks:
        """A portion of the tasks in these states, oldest first, with who began them; those with
        keys above `after`. Of ended ones only those whose end was concluded, not reported.
        """
        ...

    async def request_cancel(self, project_id: int, key: int) -> None:
        """Remember that an operator asked to cancel the task (an intent, not a state)."""
        ...

    async def request_cancels(self, project_id: int, keys: Sequence[int]) -> None:
        """The same of many; those that are gone are passed over."""
        ...

    async def cancelled_waiting(self, project_id: int) -> list[tuple[str, str]]:
        """(source, task id) of tasks with a cancel request that have not ended: for `Welcome`."""
        ...

    async def totals(self, project_id: int) -> Totals: ...

    async def usage(self, project_id: int) -> list[DayUsage]:
        """What the project's tasks take on disk, by day, oldest first."""
        ...

    async def tidy(self, keep_days: int, max_bytes: int = 0) -> bool:
        """One short step of the work on older days: tasks of the last `keep_days` days are kept,
        and fewer while the file holds more than `max_bytes` (0: any size), but never fewer than
        the store searches by id. Says whether there was something to do.
        """
        ...

    async def thin(self, kept: Kept) -> bool:
        """One step of taking away what a project keeps no longer. Says whether there was any."""
        ...

    async def rest(self) -> None:
        """Tell that there is time for what is better done when nothing comes in."""
        ...

    async def trend(
        self, project_id: int, since_us: int, until_us: int, step_us: int, question: TrendFilter
    ) -> Trend:
        """Counts and percentiles for each step of any time, from rollups alone. `since_us` is
        rounded down to a whole step. Raises `Invalid` for steps that are no whole minutes, or too
        many.
        """
        ...

    async def task_trends(
        self,
        project_id: int,
        since_us: int,
        until_us: int,
        step_us: int,
        order: TaskOrder,
        limit: int,
    ) -> TaskTrends:
        """The task names of the same time, each with its counts of all of it."""
        ...

    async def queue_counts(
        self, project_id: int, since_us: int, until_us: int
    ) -> list[QueueCounts]:
        """What came into each queue and left it; of a few whole minutes."""
        ...

    async def queue_names(self, project_id: int, since_us: int) -> list[tuple[str, str]]:
        """(source, queue) of all queues that tasks were in since then, by whole hours."""
        ...

    async def sources(self, project_id: int) -> list[QueueSource]:
        """All sources that the project has ever had."""
        ...

    async def save_queue_hours(self, hours: Sequence[QueueHour]) -> None:
        """Keep how deep queues were; replaces these hours, and forgets what is over a month old."""
        ...

    async def load_queue_hours(self, since_us: int) -> list[QueueHour]:
        """Of all projects, oldest first."""
        ...

    async def failure_groups(
        self, project_id: int, order: FailureOrder, since_us: int, limit: int
    ) -> FailureGroups:
        """Failures seen since then, those that are the same together."""
        ...

    async def failure_group(self, project_id: int, group_id: int) -> FailureDetail | None: ...

    async def failure_of(self, project_id: int, key: int) -> FailureOf | None:
        """Of the task with this key; None if it never failed."""
        ...

    async def sum_up(self) -> bool:
        """One step of making rollups of long times of those of short ones, for what is over: trends
        read fewer rows. Says whether there may be more to do.
        """
        ...

    async def prune_counts(self, kept_days: Mapping[int, int]) -> bool:
        """Delete a slice of the rollups that are no longer kept: by nobody, or by the projects that
        keep them for so many days only. Says whether there was any.
        """
        ...
