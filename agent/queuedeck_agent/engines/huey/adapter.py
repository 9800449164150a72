# SPDX-License-Identifier: Apache-2.0
"""The Huey adapter: the instances of this process that share one storage, and what Huey can do.

Huey's queue is an instance with a name of its own, so a process mostly has several.
"""

import socket
import time
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.huey.call import Arguments
from queuedeck_agent.engines.huey.commands import Commands
from queuedeck_agent.engines.huey.publish import PublishHooks
from queuedeck_agent.engines.huey.running import Running
from queuedeck_agent.engines.huey.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

MAX_TASK_NAMES = 1000
HOOK_NAME = "queuedeck"
_NOT_YET = "This version of the agent does not do it for Huey yet."
_NO_STOP = "Huey cannot stop a task that runs."


class HueyEngine:
    """One storage."""

    supports = versions.TESTED["huey"]

    def __init__(self, source: sources.Source) -> None:
        self.source = source
        self.name = f"huey {source.key}"
        """The agent keeps one adapter of each name, and a process may use several storages."""
        self.hueys: dict[str, Any] = {}
        """Queue name -> instance."""
        self.consumer: Any = None
        self.version = _version()
        self.publishing: PublishHooks | None = None
        self.tasks: TaskHooks | None = None
        self.commands: Commands | None = None

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Retry and cancel."""
        return (
            wire.Capability(
                "retry",
                "emulated",
                "Huey has no retry from outside: the original call is sent again under a new id, "
                "without eta, expiry, pipeline and chord.",
            ),
            wire.Capability(
                "cancel",
                "native",
                "A waiting task is revoked and, on Redis and SQLite, taken out of its queue.",
            ),
            wire.Capability("terminate", "none", _NO_STOP),
            *(
                wire.Capability(verb, "none", _NOT_YET)
                for verb in ("submit", "pause", "purge", "priority", "move", "worker", "schedule")
            ),
        )

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `huey_boot` calls them from its patches of Huey's classes."""
        arguments = Arguments(agent, self.source.key)
        self.publishing = PublishHooks(agent, arguments)
        self.tasks = TaskHooks(self.publishing, Running())
        self.commands = Commands(self.publishing, self.hueys)
        now = time.time_ns() // 1_000
        agent.recorder.declare_source(sources.seen("huey", self.source, self.version, now))
        if agent.config.capture_args:
            agent.seals.preload()

    def detach(self) -> None:
        """Takes the hooks of the instances away; the patches stay, and do nothing without us."""
        for huey in self.hueys.values():
            huey.unregister_post_execute(HOOK_NAME)
        self.hueys.clear()

    def add(self, huey: Any) -> None:
        """One more instance on this storage."""
        if self.hueys.get(str(huey.name)) is huey or self.tasks is None:
            return
        self.hueys[str(huey.name)] = huey
        huey.post_execute(name=HOOK_NAME)(self.tasks.executed)

    def consume(self, consumer: Any) -> None:
        """This process is a consumer; its workers are not started yet."""
        self.consumer = consumer
        if self.tasks is not None:
            # Forked workers send, too: they must know that the main process has the link.
            self.tasks.agent.role = "worker"
            self.tasks.worker = f"{consumer.huey.name}@{socket.gethostname()}"
            if self.pool == "process":
                self.tasks.running.share(int(consumer.workers))

    @property
    def pool(self) -> str:
        """`thread`, `process` or `greenlet`."""
        kind = str(getattr(self.consumer, "worker_type", "") or "")
        return "greenlet" if kind == "gevent" else kind

    def info(self) -> wire.EngineInfo:
        """Read anew each time."""
        consumer = self.consumer
        names = {
            name for huey in list(self.hueys.values()) for name in list(huey._registry._registry)
        }
        return wire.EngineInfo(
            engine="huey",
            version=self.version,
            source=self.source.key,
            role="worker" if consumer is not None else "producer",
            worker=self.tasks.worker if self.tasks is not None else "",
            pool=self.pool,
            slots=int(consumer.workers) if consumer is not None else 0,
            queues=(str(consumer.huey.name),) if consumer is not None else (),
            capabilities=self.capabilities(),
            tasks=tuple(sorted(names)[:MAX_TASK_NAMES]),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        commands = self.commands
        if commands is None:
            raise CommandRefused("error", "The Huey adapter is not attached.")
        if command.verb == "retry":
            return commands.retry(command, call)
        if command.verb == "cancel":
            return commands.cancel(command)
        if command.verb == "terminate":
            raise CommandRefused("unsupported", f"{_NO_STOP} It will go on to its end.")
        raise CommandRefused("unsupported", f"`{command.verb}`: {_NOT_YET}")


def _version() -> str:
    import huey

    return str(getattr(huey, "__version__", "") or "")
