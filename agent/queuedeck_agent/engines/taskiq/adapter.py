# SPDX-License-Identifier: Apache-2.0
"""The taskiq adapter: the brokers of this process on one Redis (or other place), and what they can
do. Each broker is a `Line`, with the hooks that belong to it."""

import importlib.metadata
import os
import socket
import time
import weakref
from collections.abc import Mapping
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.commands import Action, NameOf, carry_out, no_name
from queuedeck_agent.engines.taskiq.abilities import Situation, abilities
from queuedeck_agent.engines.taskiq.commands import Commands
from queuedeck_agent.engines.taskiq.line import Line
from queuedeck_agent.engines.taskiq.queue_commands import QueueCommands
from queuedeck_agent.engines.taskiq.worker_commands import WorkerCommands, is_managed
from queuedeck_agent.errors import CommandRefused

MAX_TASK_NAMES = 1000
_ROLES = ("producer", "scheduler", "worker")


class TaskiqEngine:
    """One source: the same for all brokers on the same Redis, whatever their queues."""

    supports = versions.TESTED["taskiq"]

    def __init__(self, source: sources.Source) -> None:
        self.source = source
        self.name = f"taskiq {source.key}"
        """The agent keeps one adapter of each name, and a process may use several Redis."""
        self.version = importlib.metadata.version("taskiq")
        self.worker_name = f"taskiq@{socket.gethostname()}:{os.getpid()}"
        self.actions: Mapping[str, Action] = {}
        self.name_of: NameOf = no_name
        """The task name in the message of a command's task; empty where none is found."""
        self._lines: weakref.WeakKeyDictionary[Line, None] = weakref.WeakKeyDictionary()
        """A broker that nobody uses any more goes, and its line with it."""

    @property
    def lines(self) -> "list[Line]":
        """The oldest first: of a worker that is its own."""
        return list(self._lines)

    @property
    def brokers(self) -> "list[Any]":
        """In the same order."""
        return [line.broker for line in self.lines]

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Those of the brokers that are used here."""
        lines = self.lines
        workers = [one for one in lines if one.role == "worker"]
        return abilities(
            Situation(
                version=self.version,
                has_tasks=any(one.broker.get_all_tasks() for one in lines),
                has_list=any(one.is_list for one in lines),
                on_redis=any(one.is_list or one.is_stream for one in lines),
                is_worker=bool(workers),
                has_gate=any(one.gate is not None for one in workers),
                is_managed=is_managed(),
            )
        )

    def attach(self, agent: Agent) -> None:
        """`boot` adds the brokers, and has the steps that call their hooks."""
        key = self.source.key
        commands = Commands(agent, key, self.choose)
        self.name_of = commands.name_of
        self.actions = {
            **commands.actions,
            **QueueCommands(agent, key, self.choose).actions,
            **WorkerCommands(self.worker_name, lambda: self.lines).actions,
        }
        agent.recorder.declare_source(
            sources.seen("taskiq", self.source, self.version, time.time_ns() // 1_000)
        )
        if agent.config.capture_args:
            agent.seals.preload()

    def add(self, agent: Agent, broker: Any, role: str) -> Line:
        """One more broker. The caller keeps the line as long as the broker."""
        line = Line(agent, broker, role, self.source.key, self.worker_name)
        self._lines[line] = None
        return line

    def detach(self) -> None:
        """Takes our middleware out of the brokers."""
        for line in self.lines:
            line.detach()
        self._lines.clear()

    def info(self) -> wire.EngineInfo:
        """Read anew each time: modules may declare tasks late."""
        lines = self.lines
        listening = [one for one in lines if one.role == "worker"]
        names = {name for one in lines for name in one.broker.get_all_tasks()}
        roles = [one.role for one in lines] or ["producer"]
        return wire.EngineInfo(
            engine="taskiq",
            version=self.version,
            source=self.source.key,
            role=max(roles, key=_ROLES.index),
            worker=self.worker_name if listening else "",
            pool="asyncio" if listening else "",
            queues=tuple(sorted({queue for one in listening for queue in one.queues})),
            capabilities=self.capabilities(),
            tasks=tuple(sorted(names)[:MAX_TASK_NAMES]),
        )

    def choose(self, command: wire.CommandBody) -> Line:
        """The broker that a command is for: it runs the task, else has the queue, else knows the
        name; the oldest of several."""
        lines = [one for one in self.lines if one.is_running] or self.lines
        if not lines:
            raise CommandRefused("error", "This process uses the broker of that task no more.")
        queue = command.queue
        if command.verb in ("submit", "edit"):
            queue = command.details.queue or queue

        def fits(line: Line) -> tuple[bool, bool, bool]:
            return (
                command.task_id in line.tasks.running,
                queue in line.queues,
                bool(command.task_name) and line.broker.find_task(command.task_name) is not None,
            )

        return max(lines, key=fits)

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        if not self.actions:
            raise CommandRefused("error", "The taskiq adapter is not attached.")
        said = next((one for one in self.capabilities() if one.verb == command.verb), None)
        if said is not None and said.how == "none":
            raise CommandRefused("unsupported", f"`{command.verb}`: {said.reason}")
        return carry_out(self.actions, command, call)
