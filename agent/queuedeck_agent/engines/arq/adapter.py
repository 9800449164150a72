# SPDX-License-Identifier: Apache-2.0
"""The arq adapter: workers and connections of this process on one Redis, and what arq can do."""

import asyncio
import time
import weakref
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.arq.call import Arguments, Functions
from queuedeck_agent.engines.arq.commands import Commands
from queuedeck_agent.engines.arq.jobs import JobHooks, worker_name
from queuedeck_agent.engines.arq.publish import PublishHooks
from queuedeck_agent.errors import CommandRefused

MAX_TASK_NAMES = 1000
_NOT_YET = "This version of the agent does not do it for arq yet."


class ArqEngine:
    """One Redis."""

    supports = versions.TESTED["arq"]

    def __init__(self, source: sources.Source, functions: Functions | None = None) -> None:
        self.source = source
        self.functions = functions or Functions()
        self.name = f"arq {source.key}"
        """The agent keeps one adapter of each name, and a process may use several Redis."""
        self.version = _version()
        self.workers: weakref.WeakSet[Any] = weakref.WeakSet()
        self.publishing: PublishHooks | None = None
        self.jobs: JobHooks | None = None
        self.commands: Commands | None = None

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Retry and cancel; stopping a running job is up to the worker that runs it."""
        stop = wire.Capability(
            "terminate",
            "emulated",
            "The worker cancels the job at its next `await`, as `Job.abort` does where "
            "`allow_abort_jobs` is set.",
        )
        if not self.workers:
            stop = wire.Capability("terminate", "none", "Only the worker that runs a job can.")
        return (
            wire.Capability(
                "retry",
                "emulated",
                "arq has no retry from outside: the original call is sent again under a new id, "
                "without deferral and expiry.",
            ),
            wire.Capability(
                "cancel",
                "emulated",
                "A waiting job is taken out of its queue; arq's own abort needs a worker that "
                "allows it.",
            ),
            stop,
            *(
                wire.Capability(verb, "none", _NOT_YET)
                for verb in ("submit", "pause", "purge", "priority", "move", "worker", "schedule")
            ),
        )

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `boot` calls them from its patches of arq's classes."""
        arguments = Arguments(agent, self.source.key, self.functions)
        self.publishing = PublishHooks(agent, arguments)
        self.jobs = JobHooks(self.publishing)
        self.commands = Commands(self.publishing, self.workers)
        now = time.time_ns() // 1_000
        agent.recorder.declare_source(sources.seen("arq", self.source, self.version, now))

    def detach(self) -> None:
        """The patches stay with `boot`, and do nothing without us."""
        self.workers.clear()

    def used(self, pool: Any, loop: asyncio.AbstractEventLoop) -> None:
        """A connection of the application, and where it is used: commands go the same way."""
        if self.commands is not None:
            self.commands.pool, self.commands.loop = weakref.ref(pool), loop

    def info(self) -> wire.EngineInfo:
        """Read anew each time."""
        workers = list(self.workers)
        names = {str(name) for worker in workers for name in worker.functions}
        return wire.EngineInfo(
            engine="arq",
            version=self.version,
            source=self.source.key,
            role="worker" if workers else "producer",
            worker=worker_name(workers[0]) if workers else "",
            pool="asyncio" if workers else "",
            slots=sum(int(worker.max_jobs) for worker in workers),
            queues=tuple(sorted({str(worker.queue_name) for worker in workers})),
            capabilities=self.capabilities(),
            tasks=tuple(sorted(names)[:MAX_TASK_NAMES]),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        commands = self.commands
        if commands is None:
            raise CommandRefused("error", "The arq adapter is not attached.")
        if command.verb == "retry":
            return commands.retry(command, call)
        if command.verb == "cancel":
            return commands.cancel(command)
        if command.verb == "terminate":
            return commands.cancel(command)
        raise CommandRefused("unsupported", f"`{command.verb}`: {_NOT_YET}")


def _version() -> str:
    from arq import version

    return str(version.VERSION)
