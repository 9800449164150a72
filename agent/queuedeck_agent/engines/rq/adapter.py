# SPDX-License-Identifier: Apache-2.0
"""The RQ adapter: what a worker is, and who carries out commands. The steps around RQ's methods are
in `boot.py`.
"""

import os
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import versions
from queuedeck_agent.engines.commands import Action, NameOf, carry_out, no_name
from queuedeck_agent.engines.rq import abilities
from queuedeck_agent.engines.rq.commands import Commands
from queuedeck_agent.engines.rq.gate import Gate
from queuedeck_agent.engines.rq.places import Places
from queuedeck_agent.engines.rq.publish import PublishHooks
from queuedeck_agent.engines.rq.queue_commands import QueueCommands
from queuedeck_agent.engines.rq.run import RunHooks
from queuedeck_agent.engines.rq.worker_commands import WorkerCommands
from queuedeck_agent.engines.sources import name_source, redis_url
from queuedeck_agent.errors import CommandRefused


class RqEngine:
    """RQ on one Redis database, in this process."""

    name = "rq"
    supports = versions.TESTED["rq"]

    def __init__(self, connection: Any, role: str, worker: Any = None) -> None:
        self.connection = connection
        self.role = role
        """`worker` or `producer`."""
        self.worker = worker
        """RQ's worker object, in a worker's main process and its horses."""
        self.source = name_source(self.name, [redis_url(connection)])
        self.version = _rq_version()
        self.publishing: PublishHooks | None = None
        self.runs: RunHooks | None = None
        self.gate: Gate | None = None
        """Of a worker."""
        self._actions: dict[str, Action] = {}
        self.name_of: NameOf = no_name
        """The task name in the message of a command's task; empty where none is found."""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Of this process: a producer can do less than a worker."""
        return abilities.of(self)

    def attach(self, agent: Agent) -> None:
        """Makes the hooks. Forked children inherit them."""
        self.publishing = PublishHooks(agent, self.version)
        self.runs = RunHooks(self.publishing)
        if self.worker is not None:
            self.gate = Gate(agent, self.source.key, self.connection)
        jobs = Commands(agent, self)
        self.name_of = jobs.name_of
        parts = (jobs, Places(agent, self, jobs), QueueCommands(agent, self))
        for part in (*parts, WorkerCommands(agent, self)):
            self._actions |= part.actions
        self.publishing.source_of(self.connection)
        if agent.config.capture_args:
            agent.seals.preload()

    def detach(self) -> None:
        """Nothing to take away here: the patches are the process's."""
        self.publishing = self.runs = self.gate = None
        self._actions = {}

    def info(self) -> wire.EngineInfo:
        """RQ knows no tasks but those it was sent, so none are listed."""
        worker = self.worker
        return wire.EngineInfo(
            engine=self.name,
            version=self.version,
            source=self.source.key,
            role=self.role,
            worker=str(worker.name) if worker is not None else "",
            pool=self.pool,
            slots=1 if worker is not None else 0,
            queues=self.queue_names,
            capabilities=self.capabilities(),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        if not self._actions:
            raise CommandRefused("error", "The RQ adapter is not attached.")
        for said in self.capabilities():
            if said.verb == command.verb and said.how == "none":
                raise CommandRefused("unsupported", said.reason)
        return carry_out(self._actions, command, call)

    @property
    def pool(self) -> str:
        """The class of the worker."""
        return type(self.worker).__name__ if self.worker is not None else ""

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The queues that the worker serves; none in a producer."""
        return tuple(self.worker.queue_names()) if self.worker is not None else ()

    @property
    def has_horses(self) -> bool:
        """Whether jobs run in processes of their own. Up to RQ 2.6 even a `SimpleWorker` has the
        methods for that."""
        from rq import SimpleWorker

        return (
            hasattr(self.worker, "fork_work_horse")
            and not isinstance(self.worker, SimpleWorker)
            and hasattr(os, "fork")
        )

    @property
    def doubt(self) -> str:
        """A sentence while the worker was not seen to come by its gate."""
        if self.gate is None or self.gate.is_passed:
            return ""
        return (
            " The worker has not asked for a job by RQ's own `dequeue_any` yet: a class of your "
            "own that never does is not held back."
        )

    @property
    def serializer(self) -> Any:
        """The application's own: the worker's, or that of the jobs which this process enqueues."""
        from rq.serializers import DefaultSerializer

        seen = self.publishing.serializer if self.publishing is not None else None
        return (self.worker.serializer if self.worker is not None else seen) or DefaultSerializer


def _rq_version() -> str:
    from rq.version import VERSION

    return str(VERSION)
