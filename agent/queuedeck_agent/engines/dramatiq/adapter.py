# SPDX-License-Identifier: Apache-2.0
"""The Dramatiq adapter: what it can do, and what holds its hooks together, for one broker."""

import os
import socket
import time
from typing import Any

from queuedeck_agent import guard, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.dramatiq import source as dramatiq_source
from queuedeck_agent.engines.dramatiq.commands import Commands
from queuedeck_agent.engines.dramatiq.send import SendHooks
from queuedeck_agent.engines.dramatiq.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

MAX_TASK_NAMES = 1000
_NOT_YET = "This version of the agent does not do it for Dramatiq yet."
_CAPABILITIES = (
    wire.Capability(
        "retry",
        "emulated",
        "The original call is sent again as a new message, without delay, pipeline and group.",
    ),
    wire.Capability(
        "cancel",
        "emulated",
        "On Redis a waiting message is taken out of its queue. One that a worker holds already, "
        "and any on RabbitMQ, is skipped when its turn comes.",
    ),
    wire.Capability(
        "terminate",
        "none",
        "A running message is a thread of its worker: Python cannot stop one safely.",
    ),
    *(
        wire.Capability(verb, "none", _NOT_YET)
        for verb in ("submit", "pause", "purge", "priority", "move", "worker", "schedule")
    ),
)


class DramatiqEngine:
    """One Dramatiq broker in this process."""

    name = "dramatiq"
    supports = versions.TESTED["dramatiq"]

    sending: SendHooks
    tasks: TaskHooks
    commands: Commands

    def __init__(self, broker: Any, role: str, worker: Any = None) -> None:
        self.broker = broker
        self.role = role
        """`worker` or `producer`."""
        self.worker = worker
        """Dramatiq's Worker, once it has started."""
        self.source = dramatiq_source.find_source(broker)
        self.version = _dramatiq_version()
        self.worker_name = f"dramatiq@{socket.gethostname()}:{os.getpid()}"

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """The same for all processes."""
        return _CAPABILITIES

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `dramatiq_boot` has the middlewares that call them."""
        from dramatiq.middleware import Interrupt

        guard.let_through(Interrupt)
        self.sending = SendHooks(agent, self.broker, self.source.key)
        self.tasks = TaskHooks(self.sending, self.worker_name)
        self.commands = Commands(self.tasks)
        agent.recorder.declare_source(
            sources.seen(self.name, self.source, self.version, time.time_ns() // 1_000)
        )
        if agent.config.capture_args:
            agent.seals.preload()

    def detach(self) -> None:
        """Takes our middlewares out of the broker."""
        others = [one for one in self.broker.middleware if not hasattr(one, "boot")]
        self.broker.middleware = others

    def info(self) -> wire.EngineInfo:
        """Read anew each time: modules may declare actors late."""
        worker = self.worker
        return wire.EngineInfo(
            engine=self.name,
            version=self.version,
            source=self.source.key,
            role=self.role,
            worker=self.worker_name if self.role == "worker" else "",
            pool=_pool() if worker is not None else "",
            slots=int(worker.worker_threads) if worker is not None else 0,
            queues=self._queues(),
            capabilities=self.capabilities(),
            tasks=tuple(sorted(self.broker.actors)[:MAX_TASK_NAMES]),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        if command.verb == "retry":
            return self.commands.retry(command, call)
        if command.verb == "cancel":
            return self.commands.cancel(command)
        reason = {one.verb: one.reason for one in _CAPABILITIES}.get(command.verb, _NOT_YET)
        raise CommandRefused("unsupported", f"`{command.verb}`: {reason}")

    def _queues(self) -> tuple[str, ...]:
        """What this worker takes from; `--queues` restricts it."""
        if self.worker is None:
            return ()
        only = self.worker.consumer_whitelist
        names = (name for name in self.broker.get_declared_queues() if not name.endswith(".DQ"))
        return tuple(sorted(name for name in names if not only or name in only))


def _pool() -> str:
    from dramatiq.middleware.threading import is_gevent_active

    return "gevent" if is_gevent_active() else "threads"


def _dramatiq_version() -> str:
    import dramatiq

    return str(dramatiq.__version__)
