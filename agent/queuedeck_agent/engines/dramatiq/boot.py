# SPDX-License-Identifier: Apache-2.0
"""Puts our two middlewares into every broker, and starts agent and adapter when one is used.

Two, because order decides what a middleware sees: the outer one is first, so it runs before all
others *before* a message and after all others *after* it, when Retries has decided; the inner one
is last, so it only sees messages that no other middleware has skipped.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware, SkipMessage

from queuedeck_agent import agent as agents
from queuedeck_agent.engines.dramatiq import run as dramatiq_run
from queuedeck_agent.engines.dramatiq.adapter import DramatiqEngine
from queuedeck_agent.engines.dramatiq.send import follow_groups
from queuedeck_agent.engines.patches import Patches
from queuedeck_agent.guard import contained

Start = Callable[[], "agents.Agent | None"]

STOP_S = 1.0
"""What a worker waits for at its end while the last events are sent; the rest is in the spool."""


class Boot:
    """For one broker: its adapter, once the broker is used."""

    def __init__(self, broker: Any, start: Start) -> None:
        self.broker = broker
        self.engine: DramatiqEngine | None = None
        self._start = start
        self._lock = threading.Lock()

    @contained
    def ready(self, role: str, worker: Any = None) -> DramatiqEngine | None:
        """Starts agent and adapter at the first call; a worker's roles come one by one."""
        with self._lock:
            agent = self._start()
            if agent is None:
                return None
            engine = self.engine
            if engine is None:
                engine = DramatiqEngine(self.broker, role)
                engine.attach(agent)
                self.engine = engine
            if role == "worker":
                engine.role = role
                if worker is not None:
                    engine.worker = worker
                    engine.gate.install(self.broker, worker)
            agent.register(engine)
            agent.start_link(role)
            return engine


class Outer(Middleware):
    """First in the list."""

    def __init__(self, boot: Boot) -> None:
        self.boot = boot

    def after_process_boot(self, broker: Any) -> None:
        """A worker process of the command line has its broker; forked before that."""
        engine = self.boot.ready("worker")
        if engine is not None:
            engine.is_of_command = True

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """Also in workers that an application starts itself."""
        _arrange(broker, self.boot)
        self.boot.ready("worker", worker)

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        """Queues are known now."""
        agent = agents.current()
        if agent is not None:
            agent.refresh_hello()

    @contained
    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Worker processes are forks and end with os._exit: nothing of `atexit` runs in them."""
        agent = agents.current()
        if agent is not None:
            agent.stop(STOP_S)

    @contained
    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """Of producers this is the first sign."""
        engine = self.boot.engine or self.boot.ready("producer")
        if engine is not None:
            engine.sending.before(message)

    @contained
    def after_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """The broker took the message."""
        if self.boot.engine is not None:
            self.boot.engine.sending.after(message)

    @contained
    def before_delay_message(self, broker: Any, message: Any) -> None:
        """In the thread that reads the queue of delayed messages."""
        if self.boot.engine is not None:
            self.boot.engine.tasks.delayed(message)

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Skips what was cancelled while it waited."""
        if self._begin(message) is False:
            raise SkipMessage("Cancelled by an operator.")

    @contained
    def _begin(self, message: Any) -> bool:
        engine = self.boot.engine
        return engine is None or engine.tasks.begin(message)

    @contained
    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        """After all other middlewares."""
        if self.boot.engine is not None:
            self.boot.engine.tasks.ended(message, result, exception)

    @contained
    def after_skip_message(self, broker: Any, message: Any) -> None:
        """Instead of `after_process_message`."""
        if self.boot.engine is not None:
            self.boot.engine.tasks.skipped(message)

    @contained
    def after_nack(self, broker: Any, message: Any) -> None:
        """Messages of unknown actors come here and nowhere else."""
        if self.boot.engine is not None:
            self.boot.engine.tasks.rejected(message)


class Inner(Middleware):
    """Last in the list."""

    def __init__(self, boot: Boot) -> None:
        self.boot = boot

    @contained
    def before_process_message(self, broker: Any, message: Any) -> None:
        """The actor runs next."""
        if self.boot.engine is not None:
            self.boot.engine.tasks.started(message)

    def after_process_message(self, broker: Any, message: Any, **_: Any) -> None:
        """The first hook after the actor: what other middlewares do is not its run time."""
        run = dramatiq_run.current.get()
        if run is not None:
            run.ended_ns = time.monotonic_ns()


def follow_brokers(start: Start) -> None:
    """Every broker made from now on gets our middlewares.

    A patch of `Broker.__init__`, the one step that all brokers of all versions take: Dramatiq has
    no plugin, and its default middlewares can be replaced as a whole.
    """
    PATCHES.wrap(Broker, "__init__", lambda original: _then_follow(original, start))


def _then_follow(original: Callable[..., None], start: Start) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **named: Any) -> None:  # noqa: N807
        original(self, *args, **named)
        follow(self, start)

    return __init__


PATCHES = Patches()
"""Of the classes of Dramatiq, in this process."""


@contained
def follow(broker: Any, start: Start) -> Boot | None:
    """Adds our middlewares to one broker. Not to StubBroker: its messages never leave a test."""
    if any(one.__name__ == "StubBroker" for one in type(broker).__mro__):
        return None
    follow_groups(PATCHES)  # not before a first broker: Dramatiq is half-imported then
    boot = Boot(broker, start)
    broker.middleware = [Outer(boot), *broker.middleware, Inner(boot)]
    return boot


@contained
def _arrange(broker: Any, boot: Boot) -> None:
    """Once more when a worker starts: applications add middlewares, or replace the list."""
    others = [one for one in broker.middleware if type(one) not in (Outer, Inner)]
    own = [one for one in broker.middleware if type(one) is Outer]
    broker.middleware = [own[0] if own else Outer(boot), *others, Inner(boot)]
