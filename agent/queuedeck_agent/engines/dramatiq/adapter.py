# SPDX-License-Identifier: Apache-2.0
"""The Dramatiq adapter: what it can do, and what holds its hooks together, for one broker."""

import os
import socket
import time
from typing import Any

from queuedeck_agent import guard, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.commands import Action, NameOf, carry_out, no_name
from queuedeck_agent.engines.dramatiq import source as dramatiq_source
from queuedeck_agent.engines.dramatiq.abilities import abilities
from queuedeck_agent.engines.dramatiq.commands import Commands
from queuedeck_agent.engines.dramatiq.gate import Gate
from queuedeck_agent.engines.dramatiq.queue_commands import QueueCommands
from queuedeck_agent.engines.dramatiq.send import SendHooks
from queuedeck_agent.engines.dramatiq.tasks import TaskHooks
from queuedeck_agent.engines.dramatiq.worker_commands import WorkerCommands, no_restart

MAX_TASK_NAMES = 1000


class DramatiqEngine:
    """One Dramatiq broker in this process."""

    name = "dramatiq"
    supports = versions.TESTED["dramatiq"]

    sending: SendHooks
    tasks: TaskHooks
    gate: Gate
    _actions: dict[str, Action]

    def __init__(self, broker: Any, role: str, worker: Any = None) -> None:
        self.broker = broker
        self.role = role
        """`worker` or `producer`."""
        self.worker = worker
        """Dramatiq's Worker, once it has started."""
        self.is_of_command = False
        """The `dramatiq` command runs this process."""
        self.source = dramatiq_source.find_source(broker)
        self.version = _dramatiq_version()
        self.worker_name = f"dramatiq@{socket.gethostname()}:{os.getpid()}"
        self.name_of: NameOf = no_name
        """The task name in the message of a command's task; empty where none is found."""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """By the broker, and whether this process has a worker."""
        kind = dramatiq_source.broker_kind(self.broker)
        return abilities(kind, self.worker is not None, no_restart(self.is_of_command))

    def attach(self, agent: Agent) -> None:
        """Makes the hooks; `dramatiq_boot` has the middlewares that call them."""
        from dramatiq.middleware import Interrupt

        guard.let_through(Interrupt)
        self.sending = SendHooks(agent, self.broker, self.source.key)
        self.tasks = TaskHooks(self.sending, self.worker_name)
        self.gate = Gate(agent.paused, self.source.key)
        self._actions = self._all_actions()
        agent.recorder.declare_source(
            sources.seen(self.name, self.source, self.version, time.time_ns() // 1_000)
        )
        if agent.config.capture_args:
            agent.seals.preload()

    def detach(self) -> None:
        """Takes our middlewares out of the broker."""
        others = [one for one in self.broker.middleware if not hasattr(one, "boot")]
        self.broker.middleware = others
        self.gate.uninstall(self.broker)

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
        said = {one.verb: one for one in self.capabilities()}.get(command.verb)
        able = said is not None and said.how != "none"
        reason = said.reason if said is not None else ""
        return carry_out(self._actions if able else {}, command, call, reason)

    def _all_actions(self) -> dict[str, Action]:
        """Of every verb that is possible somewhere."""
        task = Commands(self.tasks)
        self.name_of = task.name_of
        queue = QueueCommands(self.sending, self.gate)
        worker = WorkerCommands(self.gate, self.worker_name, self.sending.agent.spool.folder)
        return {
            "retry": task.retry,
            "edit": task.edit,
            "submit": task.submit,
            "cancel": task.cancel,
            "move": task.move,
            "requeue": task.requeue,
            "reconcile": task.reconcile,
            "purge": queue.purge,
            "pause": queue.pause,
            "resume": queue.resume,
            "peek": queue.peek,
            "dead": queue.dead,
            "pool": worker.pool,
            "drain": worker.drain,
            "undrain": worker.undrain,
            "restart": worker.restart,
        }

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
