# SPDX-License-Identifier: Apache-2.0
"""Starts agent and Celery adapter when a process shows that it works, schedules or publishes."""

import threading
from collections.abc import Callable
from typing import Any

from queuedeck_agent import agent as agents
from queuedeck_agent.engines.celery.adapter import CeleryEngine, signals_of_celery
from queuedeck_agent.guard import contained

_PUBLISH_UID = "queuedeck-first-publish"


class Boot:
    """Waits for the first sign of what this process does, then starts agent and adapter, once."""

    def __init__(self, start: Callable[[], agents.Agent | None]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self.engine: CeleryEngine | None = None

    def connect(self) -> None:
        """Connects to the signals of boot; costs nothing until one fires."""
        signals = signals_of_celery()
        for signal, receiver, uid in (
            (signals.worker_init, self.worker_begins, "queuedeck-worker-init"),
            (signals.worker_ready, self.worker_is_ready, "queuedeck-worker-ready"),
            (signals.beat_init, self.beat_begins, "queuedeck-beat-init"),
            (signals.before_task_publish, self.publishes, _PUBLISH_UID),
        ):
            signal.connect(receiver, weak=False, dispatch_uid=uid)

    @contained
    def worker_begins(self, sender: Any = None, **_: Any) -> None:
        """Before the pool forks: children inherit agent and hooks, not the link."""
        self._attach(sender.app, "worker", sender)

    @contained
    def worker_is_ready(self, sender: Any = None, **_: Any) -> None:
        """Queues and pool are known now, and the pool has forked: time for the link's thread."""
        if self.engine is None:
            return
        agent = agents.current()
        if self.engine.gate is not None:
            self.engine.gate.follow()
        if agent is not None:
            agent.start_link("worker")
            agent.refresh_hello()

    @contained
    def beat_begins(self, sender: Any = None, **_: Any) -> None:
        """Beat on its own, or forked from a worker by `-B`: then the worker's link ships."""
        if self.engine is not None:
            self.engine.follow_schedules()
            return
        agent = self._attach(sender.app, "scheduler", None)
        if agent is not None:
            agent.start_link("scheduler")

    @contained
    def publishes(self, sender: Any = None, **named: Any) -> None:
        """The first task that a web process or a script sends. Internal tasks do not count."""
        if self.engine is not None or str(sender).startswith("celery."):
            return
        agent = self._attach(_current_app(), "producer", None)
        if agent is not None and self.engine is not None and self.engine.publishing is not None:
            agent.start_link("producer")
            self.engine.publishing.before(sender=sender, **named)

    def _attach(self, app: Any, role: str, worker: Any) -> agents.Agent | None:
        with self._lock:
            agent = self._start()
            if agent is None:
                return None
            if self.engine is not None:
                self.engine.detach()
            engine = CeleryEngine(app, role, worker)
            engine.attach(agent)
            agent.register(engine)
            self.engine = engine
            signals_of_celery().before_task_publish.disconnect(dispatch_uid=_PUBLISH_UID)
            return agent


def _current_app() -> Any:
    from celery._state import get_current_app

    return get_current_app()
