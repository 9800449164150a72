# SPDX-License-Identifier: Apache-2.0
"""The gate before a worker's queues: shut for a pause, and for a worker that is being drained.

Dramatiq's own `ConsumerThread.pause` closes the consumer. RabbitMQ then delivers to others what
this worker still runs, and Redis gets no heartbeat any more, so that after a minute another worker
takes what runs here for lost: both run tasks twice. Ours shuts the consumer without closing it.
"""

import threading
import time
from typing import Any

from queuedeck_agent.engines.dramatiq.source import broker_kind
from queuedeck_agent.engines.dramatiq.taps import RabbitTap, RedisTap, Tap
from queuedeck_agent.paused import Paused

PATIENCE_S = 4.0
"""A consumer looks at the gate when it asks for messages: once a second, if the application has
not set another `worker_timeout`."""


class Gate:
    """Of one broker in this process, which has one worker at most."""

    def __init__(self, paused: Paused, source: str) -> None:
        self._paused = paused
        self._source = source
        self._taps: dict[str, Tap] = {}
        self._lock = threading.Lock()
        self.drained = False
        self.worker: Any = None

    def install(self, broker: Any, worker: Any) -> None:
        """Before the worker's consumers exist.

        An attribute of this one broker instead of its method `consume`, there since Dramatiq 1.0:
        no hook is asked before a message is taken.
        """
        self.worker = worker
        if "consume" in vars(broker) or not broker_kind(broker):
            return
        original = broker.consume

        def consume(queue_name: str, *args: Any, **named: Any) -> Any:
            return self._guarded(queue_name, original(queue_name, *args, **named))

        consume.queuedeck_gate = self  # pyright: ignore[reportFunctionMemberAccess]
        broker.consume = consume

    @staticmethod
    def uninstall(broker: Any) -> None:
        """The broker has its own method again. Consumers that run keep their gate, open."""
        if hasattr(vars(broker).get("consume"), "queuedeck_gate"):
            del broker.consume

    def should_be_shut(self, queue: str) -> bool:
        """Asked whenever a consumer is about to ask its broker."""
        return self.drained or (self._source, queue) in self._paused

    def is_shut(self, queue: str) -> bool:
        """Whether nothing comes from that queue into this worker any more."""
        tap = self._taps.get(queue)
        return tap is not None and tap.is_shut

    def is_all(self, shut: bool) -> bool:
        """Whether every consumer of the worker is; one that connects just now is neither."""
        taps = [self._taps.get(name) for name in list(getattr(self.worker, "consumers", ()))]
        return all(tap is not None and tap.is_shut == shut for tap in taps)

    def put_back(self, queue: str = "") -> int:
        """How many messages went back to their queue when it was shut last."""
        return sum(tap.put_back for name, tap in list(self._taps.items()) if queue in ("", name))

    def wait_until(self, shut: bool, queue: str = "") -> bool:
        """Whether the consumers did what they should, in time."""
        until = time.monotonic() + self.patience_s
        while not (self.is_shut(queue) == shut if queue else self.is_all(shut)):
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        return True

    @property
    def patience_s(self) -> float:
        """So long consumers need to come by the gate, at most."""
        timeout = getattr(self.worker, "worker_timeout", 1000)
        return PATIENCE_S + 2 * float(timeout) / 1000

    def _guarded(self, queue: str, consumer: Any) -> Any:
        for kind in (RedisTap, RabbitTap):
            if kind.fits(consumer):
                tap = kind(self, queue, consumer)
                with self._lock:
                    self._taps[queue] = tap
                return tap
        return consumer
