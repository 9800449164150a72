# SPDX-License-Identifier: Apache-2.0
"""The application's own event loop and connection, for commands: they come on a thread of ours."""

import asyncio
import concurrent.futures
import pickle
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from queuedeck_agent.engines.arq.publish import PublishHooks
from queuedeck_agent.errors import CommandRefused

LOOP_S = 10.0
"""How long the application's loop may take."""

Workers = weakref.WeakKeyDictionary[Any, None]
"""The workers of this process, the first one first."""


class Connection:
    """What the commands of one Redis act by."""

    def __init__(self, publishing: PublishHooks, workers: Workers) -> None:
        self.publishing = publishing
        self.agent = publishing.agent
        self.source = publishing.source
        self.functions = publishing.arguments.functions
        self.workers = workers
        self.pool: Callable[[], Any] = lambda: None
        """Of the last job that this process sent; there may be none any more."""
        self.loop: asyncio.AbstractEventLoop | None = None

    def find(self) -> tuple[Any, asyncio.AbstractEventLoop]:
        """A worker's, else the one that this process sent its last job by."""
        for worker in list(self.workers):
            if worker._pool is not None and worker.loop.is_running():
                return worker._pool, worker.loop
        pool, loop = self.pool(), self.loop
        if pool is None or loop is None or not loop.is_running():
            raise CommandRefused(
                "error", "This process has no event loop that runs, and so no connection to Redis."
            )
        return pool, loop

    def run(self, loop: asyncio.AbstractEventLoop, work: "Awaitable[Any]") -> Any:
        """Its result; raises `CommandRefused` when the loop does not come to it in time."""

        async def run() -> Any:
            return await work

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            return future.result(LOOP_S)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise CommandRefused(
                "unknown",
                f"The event loop of the process did not come to it in {LOOP_S:g} s. It is not "
                "known whether it was done.",
            ) from None

    def ask(self, work: "Callable[[Any], Awaitable[Any]]") -> Any:
        """The answer of `work(pool)`."""
        pool, loop = self.find()
        return self.run(loop, work(pool))

    def reader(self) -> Callable[[bytes], Any]:
        """How the application reads its messages and results."""
        pool, _ = self.find()
        return pool.job_deserializer or pickle.loads

    def queues(self, queue: str) -> "list[str]":
        """Where a job may wait: in the queue that the command names, else in those known here."""
        pool, _ = self.find()
        known = [queue, *(str(one.queue_name) for one in list(self.workers))]
        return [one for one in dict.fromkeys([*known, str(pool.default_queue_name)]) if one]

    def worker_with(self, job_id: str) -> Any:
        """The worker of this process that runs the job."""
        return next((one for one in list(self.workers) if job_id in one.job_tasks), None)

    def workers_of(self, queue: str) -> "list[Any]":
        """The workers of this process that serve the queue."""
        return [one for one in list(self.workers) if str(one.queue_name) == queue]
