# SPDX-License-Identifier: Apache-2.0
"""Looks at the queues of the sources that the server asked for, on a thread for each round.

The engine's `queues.py` has the connection and the questions: a few that cost the same however
much waits. What it found waits here for the link's thread, which alone sends. Nothing is spooled:
a count of a minute ago is of no use.
"""

import importlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from queuedeck_agent import capture, findings, wire
from queuedeck_agent.guard import note

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent
    from queuedeck_agent.engines.base import Engine

MOST_SOURCES = 16
MOST_QUEUES = 200
"""Of one source. More are not asked for."""
EVERY_S = (1, 300)
"""The server's wish is kept within."""
LONGEST_REST_S = 300.0
"""A broker that does not answer is asked more and more rarely, down to this."""


class Reader(Protocol):
    """One connection to a broker, used by this thread alone."""

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """What waits there now. Raises whatever a network can do."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


def described(engine: "Engine", info: wire.EngineInfo) -> wire.EngineInfo:
    """The same engine, whether its queues can be counted from here, and settings that can hurt."""
    from msgspec import structs

    try:
        why = str(_queues_of(info.engine).refusal(engine))
    except Exception as error:  # noqa: BLE001 - an application may set up its broker in odd ways
        why = f"The agent failed to look at this broker: {capture.exception_name(error)}."
    return structs.replace(
        info, counts=not why, no_counts=why, findings=findings.found(engine, info)
    )


def _queues_of(engine: str) -> Any:
    """The module that knows how this engine keeps its queues."""
    return importlib.import_module(f"queuedeck_agent.engines.{engine}.queues")


class _Look:
    """What is known of a source: its open connection, and when it may be asked again."""

    def __init__(self) -> None:
        self.reader: Reader | None = None
        self.failed = 0
        self.not_before = 0.0


class Discovery:
    """`observe` and `take` are called on the link's thread."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._order: wire.Observe | None = None
        self._next_round = 0.0
        self._found: deque[wire.QueueSnapshot] = deque(maxlen=4 * MOST_SOURCES)
        self._looks: dict[str, _Look] = {}
        self._thread: threading.Thread | None = None
        self.busy = threading.Lock()
        """Held while the thread looks; a fork waits a moment for it."""

    def observe(self, order: wire.Observe | None) -> None:
        """Takes the place of what was asked before; None when the connection is gone."""
        self._order = order if order is not None and order.sources else None
        self._found.clear()
        self._next_round = 0.0
        self._go_round()

    def take(self) -> "list[wire.QueueSnapshot]":
        """What was found since the last time. To be called often: it begins the rounds."""
        self._go_round()
        found: list[wire.QueueSnapshot] = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def stop(self) -> None:
        """Closes its connections, without waiting for a broker."""
        self.observe(None)

    def _go_round(self) -> None:
        """Starts a thread when it is time. It does not wait for the next round, since Python tidies
        up after each thread in each child that is forked."""
        now, order = time.monotonic(), self._order
        if now < self._next_round or (order is None and not self._looks):
            return
        if self._thread is None or not self._thread.is_alive():
            self._next_round = now + (_between(order.every_s) if order is not None else 0.0)
            self._thread = threading.Thread(target=self._run, name="queuedeck-queues", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Another round at once where something else was asked meanwhile."""
        while True:
            order = self._order
            self._round(order)
            if self._order is order:
                return

    def _round(self, order: wire.Observe | None) -> None:
        watches: tuple[wire.Watch, ...] = ()
        if order is not None:
            watches = order.sources[:MOST_SOURCES]
            for watch in watches:
                if self._order is order:
                    with self.busy:
                        self._look(watch, order)
        self._close_others(tuple(watch.source for watch in watches))

    def _look(self, watch: wire.Watch, order: wire.Observe) -> None:
        look = self._looks.setdefault(watch.source, _Look())
        if time.monotonic() < look.not_before:
            return
        snapshot = self._snapshot(look, watch)
        if snapshot.trouble:
            look.failed += 1
            rest = min(LONGEST_REST_S, _between(order.every_s) * 2**look.failed)
            look.not_before = time.monotonic() + rest
            self._close(look)
        else:
            look.failed = 0
        if self._order is order:
            self._found.append(snapshot)

    def _snapshot(self, look: _Look, watch: wire.Watch) -> wire.QueueSnapshot:
        at_us = time.time_ns() // 1_000
        engine = self._agent.engine_of(watch.source)
        if engine is None:
            return wire.QueueSnapshot(at_us, watch.source, trouble="This engine is gone.")
        try:
            info = engine.info()
            known = dict.fromkeys([*info.queues, *watch.queues])
            reader = look.reader = look.reader or _queues_of(info.engine).open_reader(engine)
            names = tuple(filter(None, known))[:MOST_QUEUES]
            return wire.QueueSnapshot(at_us, watch.source, tuple(reader.read(names)))
        except Exception as error:  # noqa: BLE001 - all that a network and a broker can do
            why = f"{capture.exception_name(error)}: {capture.exception_message(error)}"
            return wire.QueueSnapshot(at_us, watch.source, trouble=why[:300])

    def _close_others(self, kept: "tuple[str, ...]") -> None:
        for source in [one for one in self._looks if one not in kept]:
            self._close(self._looks.pop(source))

    def _close(self, look: _Look) -> None:
        reader, look.reader = look.reader, None
        if reader is not None:
            try:
                reader.close()
            except Exception as error:  # noqa: BLE001 - a broken connection may break at its end
                note("queuedeck_agent.discovery.close", error)


def _between(every_s: int) -> float:
    low, high = EVERY_S
    return float(min(max(every_s, low), high))
