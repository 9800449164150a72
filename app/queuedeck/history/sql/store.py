# SPDX-License-Identifier: AGPL-3.0-only
"""`History` on a database that answers in SQL: one thread writes, a few read; the event loop only
waits.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from queuedeck.clock import Clock
from queuedeck.errors import Unavailable
from queuedeck.history.batches import Batch, Recorded
from queuedeck.history.failures import FailureDetail, FailureGroups, FailureOf, FailureOrder
from queuedeck.history.filters import TaskFilter
from queuedeck.history.queues import QueueCounts, QueueHour, QueueSource
from queuedeck.history.retention import DayUsage, Kept
from queuedeck.history.sql import (
    depths,
    detail,
    fulltext,
    groups,
    listing,
    queues,
    samples,
    selection,
    survey,
    suspects,
    totals,
    trends,
    values,
)
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import raise_days
from queuedeck.history.sql.lanes import committed_lanes
from queuedeck.history.sql.rows import Words
from queuedeck.history.sql.writer import Writer
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

READERS = 3

P = ParamSpec("P")
R = TypeVar("R")


class SqlHistory(ABC):
    """The hot store. Exactly one process may have it open for writing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writer: Writer | None = None
        self._writing = ThreadPoolExecutor(1, "history-writer")
        self._reading = ThreadPoolExecutor(READERS, "history-reader")
        self._own = threading.local()
        self._readers: list[Database] = []
        self._words = Words()
        self._waited: dict[int, int] = {}
        self._closed = False

    @abstractmethod
    def _open_writer(self) -> Database:
        """The one connection that writes. Makes the tables where there are none."""

    @abstractmethod
    def _open_reader(self) -> Database: ...

    @abstractmethod
    def _explained(self, error: Exception) -> Exception:
        """What to raise for an error of the driver: `Unavailable`, unless the mistake is ours."""

    async def _give_back(self) -> bool:
        """Give back a piece of the space that days took which are gone. Says whether it did."""
        return await self._write(Writer.give_back)

    async def open(self) -> None:
        self._writer = await self._on(self._writing, self._open)

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._close)

    async def record(self, group: Sequence[Batch]) -> Recorded:
        return await self._write(Writer.record, group)

    async def open_tasks(
        self, project_id: int, states: Sequence[TaskState], after: int, limit: int
    ) -> OpenTasks:
        return await self._read(suspects.read_open, self._words, project_id, states, after, limit)

    async def request_cancel(self, project_id: int, key: int) -> None:
        await self._write(Writer.request_cancel, project_id, key)

    async def request_cancels(self, project_id: int, keys: Sequence[int]) -> None:
        await self._write(Writer.request_cancels, project_id, keys)

    async def tidy(self, keep_days: int, max_bytes: int = 0) -> bool:
        return await self._write(Writer.tidy, keep_days, max_bytes) or await self._give_back()

    async def thin(self, kept: Kept) -> bool:
        return await self._write(Writer.thin, kept)

    async def rest(self) -> None:
        await self._write(Writer.rest)

    async def committed(self, project_id: int, lanes: Sequence[str]) -> dict[str, int]:
        return await self._read(committed_lanes, project_id, lanes)

    async def list_tasks(
        self, project_id: int, question: TaskFilter, limit: int, after: str = ""
    ) -> TaskPage:
        return await self._read(
            listing.list_tasks, self._words, self._clock(), project_id, question, limit, after
        )

    async def facets(self, project_id: int, question: TaskFilter) -> Facets:
        return await self._read(
            survey.read_facets, self._words, self._clock(), project_id, question
        )

    async def histogram(self, project_id: int, question: TaskFilter) -> Histogram:
        return await self._read(survey.read_histogram, self._clock(), project_id, question)

    async def values(
        self, project_id: int, key: str, piece: str, question: TaskFilter, limit: int
    ) -> dict[str, int]:
        now = self._clock()
        return await self._read(
            values.read_values, self._words, now, project_id, key, piece, question, limit
        )

    async def index_words(self) -> bool:
        portion = await self._read(fulltext.read_portion, self._words, self._clock(), self._waited)
        if portion is not None:
            await self._write(Writer.add_words, portion)
        return portion is not None

    async def find_task(
        self,
        project_id: int,
        engine: str,
        task_id: str,
        generation: int | None = None,
        *,
        key: int | None = None,
    ) -> TaskDetail | None:
        return await self._read(
            detail.find_task, self._words, project_id, engine, task_id, generation, key
        )

    async def sealed_call(self, project_id: int, key: int) -> bytes:
        return await self._read(detail.sealed_call, project_id, key)

    async def sealed_calls(self, project_id: int, keys: Sequence[int]) -> dict[int, bytes]:
        return await self._read(selection.sealed_calls, project_id, keys)

    async def select_tasks(
        self,
        project_id: int,
        question: TaskFilter,
        limit: int,
        after: str = "",
        newest: int | None = None,
    ) -> Selection:
        now = self._clock()
        return await self._read(
            selection.select_tasks, self._words, now, project_id, question, limit, after, newest
        )

    async def samples(self, project_id: int, question: TaskFilter, limit: int) -> list[TaskSample]:
        now = self._clock()
        return await self._read(samples.read_samples, self._words, now, project_id, question, limit)

    async def read_selected(self, project_id: int, keys: Sequence[int]) -> dict[int, SelectedTask]:
        return await self._read(selection.read_selected, self._words, project_id, keys)

    async def cancelled_waiting(self, project_id: int) -> list[tuple[str, str]]:
        return await self._read(detail.cancelled_waiting, project_id)

    async def usage(self, project_id: int) -> list[DayUsage]:
        return await self._read(totals.read_usage, project_id)

    async def totals(self, project_id: int) -> Totals:
        return await self._read(totals.read_totals, project_id)

    async def trend(
        self, project_id: int, since_us: int, until_us: int, step_us: int, question: TrendFilter
    ) -> Trend:
        return await self._read(
            trends.read_trend, project_id, since_us, until_us, step_us, question
        )

    async def task_trends(
        self,
        project_id: int,
        since_us: int,
        until_us: int,
        step_us: int,
        order: TaskOrder,
        limit: int,
    ) -> TaskTrends:
        return await self._read(
            trends.read_task_trends, project_id, since_us, until_us, step_us, order, limit
        )

    async def queue_counts(
        self, project_id: int, since_us: int, until_us: int
    ) -> list[QueueCounts]:
        return await self._read(queues.read_queue_counts, project_id, since_us, until_us)

    async def queue_names(self, project_id: int, since_us: int) -> list[tuple[str, str]]:
        return await self._read(queues.read_queue_names, project_id, since_us)

    async def sources(self, project_id: int) -> list[QueueSource]:
        return await self._read(queues.read_sources, project_id)

    async def save_queue_hours(self, hours: Sequence[QueueHour]) -> None:
        now = self._clock()
        await self._write(lambda writer: depths.save_hours(writer.db, hours, now))

    async def load_queue_hours(self, since_us: int) -> list[QueueHour]:
        return await self._write(lambda writer: depths.load_hours(writer.db, since_us))

    async def failure_groups(
        self, project_id: int, order: FailureOrder, since_us: int, limit: int
    ) -> FailureGroups:
        now = self._clock()
        return await self._read(groups.read_groups, project_id, order, since_us, limit, now)

    async def failure_group(self, project_id: int, group_id: int) -> FailureDetail | None:
        now = self._clock()
        return await self._read(groups.read_group, self._words, project_id, group_id, now)

    async def failure_of(self, project_id: int, key: int) -> FailureOf | None:
        return await self._read(groups.read_group_of, project_id, key)

    async def sum_up(self) -> bool:
        return await self._write(Writer.sum_up)

    async def prune_counts(self, kept_days: Mapping[int, int]) -> bool:
        return await self._write(Writer.prune_counts, kept_days)

    async def _write(
        self, act: Callable[Concatenate[Writer, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        writer = self._opened()
        return await self._on(self._writing, lambda: act(writer, *args, **kwargs))

    async def _read(
        self,
        act: Callable[Concatenate[Database, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        self._opened()
        return await self._on(self._reading, lambda: act(self._reader(), *args, **kwargs))

    def _opened(self) -> Writer:
        if self._writer is None or self._closed:
            raise Unavailable("The history store is not open.")
        return self._writer

    def _reader(self) -> Database:
        """This thread's own connection."""
        own: Database | None = getattr(self._own, "db", None)
        if own is None:
            own = self._own.db = self._open_reader()
            self._readers.append(own)
        return own

    def _open(self) -> Writer:
        db = self._open_writer()
        try:
            raise_days(db)
        except BaseException:
            db.close()
            raise
        return Writer(db, self._clock)

    def _close(self) -> None:
        """What threads have begun ends first; the writer last, so that it can tidy up the WAL."""
        self._reading.shutdown()
        for reader in self._readers:
            reader.close()
        self._writing.shutdown()
        if self._writer is not None:
            self._writer.close()

    async def _on(self, threads: ThreadPoolExecutor, act: Callable[[], R]) -> R:
        """Run on a thread, with the driver's errors in our words.

        Not cancelled with the caller: what a thread has begun, it ends.
        """
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.shield(loop.run_in_executor(threads, act))
        except Exception as error:
            explained = self._explained(error)
            if explained is error:
                raise
            raise explained from error
