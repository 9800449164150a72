# SPDX-License-Identifier: Apache-2.0
"""Verbs of the workers in this process."""

import asyncio
from collections.abc import Mapping
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines.arq.connection import Connection
from queuedeck_agent.engines.arq.gate import Gate
from queuedeck_agent.engines.arq.jobs import worker_name
from queuedeck_agent.engines.commands import Action, done, within
from queuedeck_agent.errors import CommandRefused

VERIFY_S = 2.0
READ_FACTOR = 5
"""arq looks at so many due jobs for each that it may run; the running ones are among them."""


class WorkerCommands:
    """On the thread of the agent's runner."""

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self.connection = connection
        self.gate = gate
        self.actions: Mapping[str, Action] = {
            "pool": self.pool,
            "drain": self.drain,
            "undrain": self.undrain,
        }

    def pool(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Changes `max_jobs`, in the worker's own loop: nothing of it goes on meanwhile."""
        amount = command.details.amount
        if not amount:
            raise CommandRefused("invalid", "How many jobs more, or fewer, is missing.")
        changes: list[str] = []
        for worker in self._workers(command):
            before = int(worker.max_jobs)
            if before + amount < 1:
                raise CommandRefused(
                    "invalid",
                    f"The worker runs {before} jobs at a time; it must be left one. To run none, "
                    "drain it.",
                )
            self.connection.run(worker.loop, _resize(worker, before + amount))
            changes.append(f"`{worker.queue_name}`: {worker.max_jobs} at a time, was {before}")
        self.connection.agent.refresh_hello()
        return done(
            command,
            f"Changed `max_jobs` until the worker restarts. {'; '.join(changes)}. Jobs that run "
            "beyond it go on to their end.",
            affected=abs(amount),
        )

    def drain(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The worker starts nothing more; it stays, with its cron."""
        workers = self._workers(command)
        self.gate.drained.update(workers)
        stopped = within(lambda: not any(one in self.gate.taking for one in workers), VERIFY_S)
        running = sum(len(one.job_tasks) for one in workers)
        return done(
            command,
            f"The worker takes no more jobs until it is undrained or restarts; {running} run to "
            "their end.",
            verified=stopped,
        )

    def undrain(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """A queue that is paused stays so."""
        workers = self._workers(command)
        if not any(one in self.gate.drained for one in workers):
            return done(command, "The worker was not drained.")
        for one in workers:
            self.gate.drained.discard(one)
        return done(command, "The worker takes jobs again, unless its queue is paused.")

    def _workers(self, command: wire.CommandBody) -> "list[Any]":
        wanted = command.details.worker
        found = [
            one
            for one in list(self.connection.workers)
            if one.loop.is_running() and wanted in ("", worker_name(one))
        ]
        if not found:
            raise CommandRefused(
                "error",
                f"The command went to another worker: `{wanted}` does not run in this process.",
            )
        return found


async def _resize(worker: Any, size: int) -> None:
    """arq starts a job while fewer than `max_jobs` run, and has a semaphore one larger, for what
    it is about to start: with a smaller one its polls would hang."""
    if size > worker.max_jobs:
        worker.sem = asyncio.Semaphore(max(size + 1 - worker.job_counter, 0))
    worker.queue_read_limit = max(worker.queue_read_limit, size * READ_FACTOR)
    worker.max_jobs = size
