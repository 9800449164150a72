# SPDX-License-Identifier: Apache-2.0
"""The RQ adapter: what RQ can do, what a worker is, and who carries out commands. The steps around
RQ's methods are in `boot.py`.
"""

from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import versions
from queuedeck_agent.engines.rq.commands import Commands
from queuedeck_agent.engines.rq.publish import PublishHooks
from queuedeck_agent.engines.rq.run import RunHooks
from queuedeck_agent.engines.sources import name_source, redis_url
from queuedeck_agent.errors import CommandRefused

_NOT_YET = "This version of the agent does not do it for RQ yet."
_IMPOSSIBLE = {
    "pause": "RQ can only suspend all workers of a Redis database at once, not one queue.",
    "priority": "An RQ job has no priority: a worker takes its queues in the order it was given.",
    "worker": "An RQ worker runs one job at a time, and a worker pool has a fixed size.",
}


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
        self.commands: Commands | None = None

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Retry and cancel; a running job can be stopped where it has a process of its own."""
        stop = wire.Capability("terminate", "native", "Kills the work horse of the job.")
        if self.worker is not None and not hasattr(self.worker, "fork_work_horse"):
            text = f"A {self.pool} runs jobs in its own process: none can be stopped."
            stop = wire.Capability("terminate", "none", text)
        return (
            wire.Capability(
                "retry",
                "emulated",
                "RQ runs a requeued job under its old id and forgets the first run: instead the "
                "original call is enqueued under a new id, without delay, dependencies and "
                "repetitions.",
            ),
            wire.Capability("cancel", "native", "A waiting job is taken out of its queue."),
            stop,
            *(wire.Capability(verb, "none", why) for verb, why in _IMPOSSIBLE.items()),
            *(
                wire.Capability(verb, "none", _NOT_YET)
                for verb in ("submit", "purge", "move", "schedule")
            ),
        )

    def attach(self, agent: Agent) -> None:
        """Makes the hooks. Forked children inherit them."""
        self.publishing = PublishHooks(agent, self.version)
        self.runs = RunHooks(self.publishing)
        self.commands = Commands(agent, self)
        self.publishing.source_of(self.connection)
        if agent.config.capture_args:
            agent.seals.preload()

    def detach(self) -> None:
        """Nothing to take away here: the patches are the process's."""
        self.publishing = self.runs = self.commands = None

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
            queues=tuple(worker.queue_names()) if worker is not None else (),
            capabilities=self.capabilities(),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        commands = self.commands
        if commands is None:
            raise CommandRefused("error", "The RQ adapter is not attached.")
        if command.verb == "retry":
            return commands.retry(command, call)
        if command.verb == "cancel":
            return commands.cancel(command)
        if command.verb == "terminate":
            return commands.terminate(command)
        why = _IMPOSSIBLE.get(command.verb, _NOT_YET)
        raise CommandRefused("unsupported", f"`{command.verb}`: {why}")

    @property
    def pool(self) -> str:
        """The class of the worker."""
        return type(self.worker).__name__ if self.worker is not None else ""


def _rq_version() -> str:
    from rq.version import VERSION

    return str(VERSION)
