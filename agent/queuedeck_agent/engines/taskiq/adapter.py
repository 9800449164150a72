# SPDX-License-Identifier: Apache-2.0
"""The taskiq adapter: what it can do, and what holds its hooks together, for one broker."""

import asyncio
import importlib.metadata
import os
import socket
import time
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.taskiq import source as taskiq_source
from queuedeck_agent.engines.taskiq.commands import Commands
from queuedeck_agent.engines.taskiq.send import SendHooks
from queuedeck_agent.engines.taskiq.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

MAX_TASK_NAMES = 1000
_NOT_YET = "This version of the agent does not do it for taskiq yet."
_CAPABILITIES = (
    wire.Capability(
        "retry",
        "emulated",
        "taskiq has no retry from outside: the original call is sent again under a new id.",
    ),
    wire.Capability(
        "cancel",
        "emulated",
        "From a list on Redis a waiting message is taken out. One that a worker holds already, "
        "and any on other brokers, is skipped when its turn comes.",
    ),
    wire.Capability("terminate", "none", "taskiq cannot stop a running task."),
    *(
        wire.Capability(verb, "none", _NOT_YET)
        for verb in ("submit", "pause", "purge", "priority", "move", "worker", "schedule")
    ),
)


class TaskiqEngine:
    """One taskiq broker in this process."""

    name = "taskiq"
    supports = versions.TESTED["taskiq"]

    sending: SendHooks
    tasks: TaskHooks
    commands: Commands

    def __init__(self, broker: Any, role: str) -> None:
        self.broker = broker
        self.role = role
        """`worker`, `scheduler` or `producer`."""
        self.source = taskiq_source.find_source(broker)
        self.version = importlib.metadata.version("taskiq")
        self.worker_name = f"taskiq@{socket.gethostname()}:{os.getpid()}"
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the broker was used last: its connections belong to that loop."""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """The same for all processes."""
        return _CAPABILITIES

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `boot` has the steps that call them."""
        self.sending = SendHooks(agent, self.broker, self.source.key)
        self.tasks = TaskHooks(self.sending, self.worker_name)
        self.commands = Commands(self.tasks)
        agent.recorder.declare_source(
            sources.seen(self.name, self.source, self.version, time.time_ns() // 1_000)
        )
        if agent.config.capture_args:
            agent.seals.preload()

    def detach(self) -> None:
        """Takes our middleware out of the broker."""
        others = [one for one in self.broker.middlewares if not hasattr(one, "boot")]
        self.broker.middlewares = others

    def info(self) -> wire.EngineInfo:
        """Read anew each time: modules may declare tasks late."""
        is_worker = self.role == "worker"
        queue = taskiq_source.queue_of(self.broker, {})
        return wire.EngineInfo(
            engine=self.name,
            version=self.version,
            source=self.source.key,
            role=self.role,
            worker=self.worker_name if is_worker else "",
            pool="asyncio" if is_worker else "",
            queues=(queue,) if is_worker and queue else (),
            capabilities=self.capabilities(),
            tasks=tuple(sorted(self.broker.get_all_tasks())[:MAX_TASK_NAMES]),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        self.commands.loop = self.loop
        if command.verb == "retry":
            return self.commands.retry(command, call)
        if command.verb == "cancel":
            return self.commands.cancel(command)
        reason = {one.verb: one.reason for one in _CAPABILITIES}.get(command.verb, _NOT_YET)
        raise CommandRefused("unsupported", f"`{command.verb}`: {reason}")
