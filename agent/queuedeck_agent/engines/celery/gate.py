# SPDX-License-Identifier: Apache-2.0
"""Keeps this worker from taking messages: of queues that are paused on this host, or of all while
it is drained. The consumer is told on its own thread, by Celery's own means.
"""

import logging
import threading
from typing import Any

from queuedeck_agent.agent import Agent
from queuedeck_agent.guard import contained

log = logging.getLogger("queuedeck_agent")

LOOK_EVERY_S = 0.25


class Gate:
    """One for each worker's parent process."""

    def __init__(self, agent: Agent, source: str, app: Any, controller: Any) -> None:
        self.agent = agent
        self.source = source
        self.app = app
        self.controller = controller
        self.drained = False
        self._held: dict[str, Any] = {}
        """Name -> kombu's queue, of those that this worker would take from."""
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> frozenset[str]:
        """The queues that this worker does not take from, though it would."""
        return frozenset(self._held)

    @property
    def open(self) -> frozenset[str]:
        """The queues that it takes from now."""
        return frozenset(map(str, tuple(self.app.amqp.queues.consume_from)))

    @contained
    def begin(self) -> None:
        """At boot, before there is a consumer: what was paused then stays so."""
        self._apply()

    @contained
    def follow(self) -> None:
        """The worker is ready: looks from now on whether a pause has begun or ended."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="queuedeck-gate", daemon=True)
            self._thread.start()

    def look_now(self) -> None:
        """Does not wait for the next look."""
        self._wake.set()

    def _watch(self) -> None:
        while True:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            self._look()

    @contained
    def _look(self) -> None:
        wanted = self._wanted()
        if wanted & self.open or self.held - wanted:
            consumer = self.controller.consumer
            if consumer is not None:
                consumer.call_soon(self._apply_in_consumer)

    def _wanted(self) -> frozenset[str]:
        if self.drained:
            return self.open | self.held
        return self.agent.paused.queues(self.source)

    @contained
    def _apply_in_consumer(self) -> None:
        self._apply()
        self.agent.refresh_hello()

    def _apply(self) -> None:
        wanted = self._wanted()
        queues = self.app.amqp.queues
        for name in sorted(wanted & self.open):
            self._held[name] = queues[name]
            self._close(name)
            why = "this worker is drained" if self.drained else "it is paused"
            log.info("Takes nothing from queue %s: %s.", name, why)
        for name in sorted(self.held - wanted):
            queues.select_add(self._held[name])
            del self._held[name]
            if (consumer := self._consumer()) is not None:
                consumer.add_task_queue(name)
            log.info("Takes from queue %s again.", name)

    def _close(self, name: str) -> None:
        consumer = self._consumer()
        if consumer is None:
            self.app.amqp.queues.deselect([name])
        else:
            consumer.cancel_task_queue(name)

    def _consumer(self) -> Any:
        """Celery's, while it is connected: a new connection consumes what is selected then."""
        consumer = getattr(self.controller, "consumer", None)
        return consumer if getattr(consumer, "task_consumer", None) is not None else None
