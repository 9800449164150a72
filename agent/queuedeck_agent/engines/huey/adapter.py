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
from queuedeck_agent.engines.commands import Action, NameOf, carry_out, no_name
from queuedeck_agent.engines.huey.abilities import abilities
from queuedeck_agent.engines.huey.call import Arguments
from queuedeck_agent.engines.huey.commands import Commands
from queuedeck_agent.engines.huey.gate import Gate
from queuedeck_agent.engines.huey.publish import PublishHooks
from queuedeck_agent.engines.huey.queue_commands import QueueCommands
from queuedeck_agent.engines.huey.running import Running
from queuedeck_agent.engines.huey.storage import store_of
from queuedeck_agent.engines.huey.tasks import TaskHooks
from queuedeck_agent.engines.huey.worker_commands import WorkerCommands, listens

MAX_TASK_NAMES = 1000
HOOK_NAME = "queuedeck"


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
        self.gate: Gate | None = None
        self._queue_commands: QueueCommands | None = None
        self._actions: dict[str, Action] = {}
        self.name_of: NameOf = no_name
        """The task name in the message of a command's task; empty where none is found."""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """By the storage, and whether this process is a consumer."""
        stores = [store_of(huey) for huey in list(self.hueys.values())]
        return abilities(stores, self.consumer is not None, listens(self.consumer))

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `huey_boot` calls them from its patches of Huey's classes."""
        arguments = Arguments(agent, self.source.key)
        self.publishing = PublishHooks(agent, arguments)
        self.tasks = TaskHooks(self.publishing, Running())
        self.gate = Gate(agent.paused, self.source.key)
        self._act(self.publishing, self.tasks, self.gate)
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
            if self.gate is not None and self._queue_commands is not None:
                self.gate.install(consumer)
                self._queue_commands.consumer = consumer
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
        said = {one.verb: one for one in self.capabilities()}.get(command.verb)
        able = said is not None and said.how != "none"
        reason = said.reason if said is not None else ""
        return carry_out(self._actions if able else {}, command, call, reason)

    def _act(self, publishing: PublishHooks, tasks: TaskHooks, gate: Gate) -> None:
        """Of every verb that is possible somewhere."""
        task = Commands(publishing, tasks, self.hueys)
        self.name_of = task.name_of
        queue = self._queue_commands = QueueCommands(publishing, self.hueys, gate)
        worker = WorkerCommands(tasks, gate)
        self._actions = {
            "retry": task.retry,
            "edit": task.edit,
            "submit": task.submit,
            "cancel": task.cancel,
            "priority": task.priority,
            "move": task.move,
            "reconcile": task.reconcile,
            "purge": queue.purge,
            "pause": queue.pause,
            "resume": queue.resume,
            "peek": queue.peek,
            "drain": worker.drain,
            "undrain": worker.undrain,
            "restart": worker.restart,
        }


def _version() -> str:
    import huey

    return str(getattr(huey, "__version__", "") or "")
