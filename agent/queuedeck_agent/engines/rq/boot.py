# SPDX-License-Identifier: Apache-2.0
"""Starts agent and RQ adapter when a process first enqueues or works. What tells so, and all that
follows, are the steps of `rq_steps.py`."""

import importlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from queuedeck_agent import agent as agents
from queuedeck_agent.engines.patches import Patches
from queuedeck_agent.engines.rq.adapter import RqEngine
from queuedeck_agent.engines.rq.publish import PublishHooks
from queuedeck_agent.engines.rq.run import RunHooks
from queuedeck_agent.engines.rq.steps import Steps
from queuedeck_agent.guard import contained

_FOR_THE_LINK = (
    "queuedeck_agent.link",
    "queuedeck_agent.connect",
    "queuedeck_agent.version",
    "queuedeck_agent.engines.rq.queues",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "encodings.idna",
)
"""What the threads of the link need. They must not import anything themselves: a horse that is
forked in the middle of that would inherit a module's lock, and wait for it for ever."""


class Boot:
    """Waits for the first sign of what this process does, then starts agent and adapter, once."""

    def __init__(self, start: Callable[[], agents.Agent | None]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self.patches = Patches()
        self.engine: RqEngine | None = None
        self.awaits: Any = None
        """In a horse: the job that it was forked for, when its parent has told that it begins."""

    def connect(self) -> None:
        """After the import of `rq.worker`, by which all that is patched is there."""
        Steps(self).put(self.patches)

    def publishing(self, connection: Any) -> PublishHooks | None:
        """The hooks of enqueueing: the first call in a web process or script starts the agent."""
        engine = self.engine or self._first_publishing(connection)
        return engine.publishing if engine is not None else None

    def running(self, worker: Any) -> RunHooks | None:
        """The hooks of running."""
        engine = self.engine
        if engine is None or engine.worker is None:
            engine = self._first_running(worker)
        return engine.runs if engine is not None else None

    @contained
    def _first_publishing(self, connection: Any) -> RqEngine | None:
        return self._attach("producer", connection, None)

    @contained
    def _first_running(self, worker: Any) -> RqEngine | None:
        """A spawned horse is a process without history: it has no link, since it leaves by
        `os._exit`; the link of its parent finds its lane."""
        engine = self._attach("worker", worker.connection, worker)
        if engine is not None and not worker.is_horse:
            self._start_link("worker")
        return engine

    @contained
    def works(self, worker: Any) -> None:
        """A worker has begun, in this process: before its scheduler and its horses are forked."""
        if self._attach("worker", worker.connection, worker) is None:
            return
        _show_log()
        for name in _FOR_THE_LINK:
            importlib.import_module(name)
        self._start_link("worker")

    def _attach(self, role: str, connection: Any, worker: Any) -> RqEngine | None:
        with self._lock:
            if self.engine is not None and (worker is None or self.engine.worker is worker):
                return self.engine
            agent = self._start()
            if agent is None:
                return None
            engine = RqEngine(connection, role, worker)
            engine.attach(agent)
            agent.register(engine)
            self.engine = engine
            if role == "producer":
                agent.start_link(role)
            return engine

    def _start_link(self, role: str) -> None:
        agent = agents.current()
        if agent is not None:
            agent.start_link(role)
            agent.refresh_hello()


def _show_log() -> None:
    """RQ gives handlers to its own loggers alone. Whether we are connected is said there too."""
    ours = logging.getLogger("queuedeck_agent")
    if not ours.hasHandlers():
        for handler in logging.getLogger("rq.worker").handlers:
            ours.addHandler(handler)
