# SPDX-License-Identifier: Apache-2.0
"""The Celery adapter: which hook is connected to which signal, and what Celery can do.

Only `celery.signals` may be imported when this module is: the rest of Celery may be half-imported.
"""

import time
from collections.abc import Callable
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources, versions
from queuedeck_agent.engines.celery import abilities
from queuedeck_agent.engines.celery import source as celery_source
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.commands import Commands
from queuedeck_agent.engines.celery.gate import Gate
from queuedeck_agent.engines.celery.limits import Running
from queuedeck_agent.engines.celery.publish import PublishHooks, follow_schedules
from queuedeck_agent.engines.celery.queue_commands import QueueCommands
from queuedeck_agent.engines.celery.queues import kind_of
from queuedeck_agent.engines.celery.sending import Sending
from queuedeck_agent.engines.celery.tasks import TaskHooks
from queuedeck_agent.engines.celery.worker import WorkerHooks
from queuedeck_agent.engines.celery.worker_commands import (
    WorkerCommands,
    restart_refusal,
    slots_of,
)
from queuedeck_agent.engines.commands import Action, NameOf, carry_out, no_name
from queuedeck_agent.errors import CommandRefused

MAX_TASK_NAMES = 1000


class CeleryEngine:
    """One Celery application in this process."""

    name = "celery"
    supports = versions.TESTED["celery"]

    def __init__(self, app: Any, role: str, worker: Any = None) -> None:
        self.app = app
        self.role = role
        """`worker`, `scheduler` or `producer`."""
        self.worker = worker
        """Celery's WorkController, in a worker's parent process."""
        self.source = celery_source.find_source(app)
        self.version = _celery_version()
        self.publishing: PublishHooks | None = None
        self.gate: Gate | None = None
        """In a worker: which queues it does not take from."""
        self._commands: Commands | None = None
        self.name_of: NameOf = no_name
        """The task name in the message of a command's task; empty where none is found."""
        self._actions: dict[str, Action] = {}
        self._connected: list[tuple[Any, str]] = []

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Every verb, as it is on this broker, with this pool, in this process."""
        refusal = restart_refusal() if self.role == "worker" else ""
        return abilities.all_of(kind_of(self.app), self.role, self.pool, refusal)

    def attach(self, agent: Agent) -> None:
        """Connects the hooks of this process's role. Forked children inherit them."""
        running: Running = {}
        arguments = Arguments(agent, self.app, self.source.key)
        self.publishing = PublishHooks(agent, arguments, running)
        if self.role == "worker":
            self.gate = Gate(agent, self.source.key, self.app, self.worker)
            self.gate.begin()
        self._connect_actions(agent, arguments, Sending(agent, arguments, self.publishing))
        agent.recorder.declare_source(
            sources.seen(self.name, self.source, self.version, time.time_ns() // 1_000)
        )
        if agent.config.capture_args:
            agent.seals.preload()
        signals = signals_of_celery()
        self._connect(signals.before_task_publish, self.publishing.before)
        self._connect(signals.after_task_publish, self.publishing.after)
        if self.role == "scheduler":
            self.follow_schedules()
        if self.role == "worker":
            self._attach_worker(agent, arguments, signals)

    def detach(self) -> None:
        """Takes the hooks away again."""
        for signal, uid in self._connected:
            signal.disconnect(dispatch_uid=uid)
        self._connected.clear()

    def follow_schedules(self) -> None:
        """Beat, on its own or inside a worker: learns the names of the entries it sends."""
        if self.publishing is not None:
            from celery.beat import Scheduler

            follow_schedules(self.publishing, Scheduler)

    def info(self) -> wire.EngineInfo:
        """Read anew each time: queues can be added while a worker runs."""
        controller = self.worker
        gate = self.gate
        return wire.EngineInfo(
            engine=self.name,
            version=self.version,
            source=self.source.key,
            role=self.role,
            worker=str(controller.hostname) if controller is not None else "",
            pool=self.pool,
            slots=slots_of(controller) if controller is not None else 0,
            queues=tuple(sorted(gate.open | gate.held)) if gate is not None else (),
            capabilities=self.capabilities(),
            tasks=self._task_names(),
        )

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a permitted command."""
        if self._commands is None:
            raise CommandRefused("error", "The Celery adapter is not attached.")
        self._commands.pool = self.pool
        said = {one.verb: one for one in self.capabilities()}.get(command.verb)
        if said is None or said.how == "none":
            return carry_out({}, command, call, said.reason if said is not None else "")
        return carry_out(self._actions, command, call)

    def _connect_actions(self, agent: Agent, arguments: Arguments, sending: Sending) -> None:
        self._commands = tasks = Commands(agent, arguments)
        self.name_of = tasks.name_of
        queues = QueueCommands(agent, arguments, self.gate)
        workers = WorkerCommands(agent, self.app, self.worker, self.gate)
        self._actions = {
            "retry": sending.retry,
            "edit": sending.edit,
            "submit": sending.submit,
            "cancel": tasks.cancel,
            "terminate": tasks.terminate,
            "priority": tasks.priority,
            "move": tasks.move,
            "reconcile": tasks.reconcile,
            "purge": queues.purge,
            "pause": queues.pause,
            "resume": queues.resume,
            "peek": queues.peek,
            "pool": workers.pool,
            "rate": workers.rate,
            "drain": workers.drain,
            "undrain": workers.undrain,
            "restart": workers.restart,
        }

    def _attach_worker(self, agent: Agent, arguments: Arguments, signals: Any) -> None:
        assert self.publishing is not None  # noqa: S101 - set by attach, the only caller
        tasks = TaskHooks(agent, arguments, self.publishing)
        tasks.worker = str(self.worker.hostname)
        agent.recorder.extras.find_by(tasks.here)
        hooks = WorkerHooks(tasks)
        self._connect(signals.task_received, hooks.received)
        self._connect(signals.task_revoked, hooks.revoked)
        self._connect(signals.task_unknown, hooks.unknown)
        self._connect(signals.task_rejected, hooks.rejected)
        self._connect(signals.task_prerun, tasks.prerun)
        self._connect(signals.task_postrun, tasks.postrun)
        self._connect(signals.task_failure, tasks.failed)
        self._connect(signals.task_internal_error, tasks.broken)
        self._connect(signals.task_retry, tasks.retrying)

    def _connect(self, signal: Any, receiver: Callable[..., None]) -> None:
        uid = f"queuedeck-{signal.name}"
        signal.connect(receiver, weak=False, dispatch_uid=uid)
        self._connected.append((signal, uid))

    @property
    def pool(self) -> str:
        """Celery's short name of the pool: the option's text, or the module of the class."""
        pool = getattr(self.worker, "pool_cls", None)
        if pool is None:
            return ""
        name = pool if isinstance(pool, str) else str(pool.__module__)
        return name.rpartition(":")[0].rpartition(".")[2] or name.rpartition(".")[2]

    def _task_names(self) -> tuple[str, ...]:
        names = sorted(name for name in self.app.tasks if not name.startswith("celery."))
        return tuple(names[:MAX_TASK_NAMES])


def signals_of_celery() -> Any:
    """Imported late: see above."""
    from celery import signals

    return signals


def _celery_version() -> str:
    import celery

    return str(celery.__version__)
