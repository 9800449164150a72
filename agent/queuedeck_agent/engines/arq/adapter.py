# SPDX-License-Identifier: Apache-2.0
"""The arq adapter: workers and connections of this process on one Redis, and what arq can do."""

import asyncio
import time
import weakref
from collections.abc import Mapping
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.arq.abilities import abilities
from queuedeck_agent.engines.arq.call import Arguments, Functions
from queuedeck_agent.engines.arq.commands import Commands
from queuedeck_agent.engines.arq.connection import Connection, Workers
from queuedeck_agent.engines.arq.gate import Gate
from queuedeck_agent.engines.arq.jobs import JobHooks, worker_name
from queuedeck_agent.engines.arq.publish import PublishHooks, running
from queuedeck_agent.engines.arq.queue_commands import QueueCommands
from queuedeck_agent.engines.arq.worker_commands import WorkerCommands
from queuedeck_agent.engines.commands import Action, NameOf, carry_out, no_name
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.extras import Here

MAX_TASK_NAMES = 1000


class ArqEngine:
    """One Redis."""

    supports = versions.TESTED["arq"]

    def __init__(self, source: sources.Source, functions: Functions | None = None) -> None:
        self.source = source
        self.functions = functions or Functions()
        self.name = f"arq {source.key}"
        """The agent keeps one adapter of each name, and a process may use several Redis."""
        self.version = _version()
        self.workers: Workers = weakref.WeakKeyDictionary()
        self.publishing: PublishHooks | None = None
        self.jobs: JobHooks | None = None
        self.gate: Gate | None = None
        self.connection: Connection | None = None
        self.actions: Mapping[str, Action] = {}
        self.name_of: NameOf = no_name
        """The task name in the message of a command's task; empty where none is found."""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Some belong to workers: to those of this process."""
        return abilities(bool(self.workers), bool(self.functions.names))

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `boot` calls them from its patches of arq's classes."""
        arguments = Arguments(agent, self.source.key, self.functions)
        self.publishing = PublishHooks(agent, arguments)
        self.jobs = JobHooks(self.publishing)
        agent.recorder.extras.find_by(self.here)
        gate = self.gate = Gate(agent, self.source.key)
        connection = self.connection = Connection(self.publishing, self.workers)
        commands = Commands(connection)
        self.name_of = commands.name_of
        self.actions = {
            **commands.actions,
            **QueueCommands(connection, gate).actions,
            **WorkerCommands(connection, gate).actions,
        }
        now = time.time_ns() // 1_000
        agent.recorder.declare_source(sources.seen("arq", self.source, self.version, now))

    def here(self) -> Here | None:
        """The attempt that runs in this coroutine."""
        run = running.get()
        if run is None or not run.started or run.ended or run.worker not in self.workers:
            return None
        return Here(self.source.key, run.job_id, run.attempt)

    def detach(self) -> None:
        """The patches stay with `boot`, and do nothing without us."""
        self.workers.clear()

    def used(self, pool: Any, loop: asyncio.AbstractEventLoop) -> None:
        """A connection of the application, and where it is used: commands go the same way."""
        if self.connection is not None:
            self.connection.pool, self.connection.loop = weakref.ref(pool), loop

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
        if not self.actions:
            raise CommandRefused("error", "The arq adapter is not attached.")
        said = next((one for one in self.capabilities() if one.verb == command.verb), None)
        if said is not None and said.how == "none":
            raise CommandRefused("unsupported", f"`{command.verb}`: {said.reason}")
        return carry_out(self.actions, command, call)


def _version() -> str:
    from arq import version

    return str(version.VERSION)
