# SPDX-License-Identifier: AGPL-3.0-only
"""Which agent counts the queues of a source: one at a time, another when it is gone or fails."""

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import msgspec

from queuedeck.clock import SECOND_US, Clock, now_us
from queuedeck.domain.agents.registry import AgentRegistry, Connection
from queuedeck.domain.queues.watch import Watches
from queuedeck_agent import wire

EVERY_S = 5
PATIENCE_US = 30 * SECOND_US
"""An agent that was asked has counted by then, or another one is asked."""
MAX_NAMES = 200
"""Of one source."""


class _Asked(msgspec.Struct):
    connection: Connection
    at_us: int


class Observers:
    """Call `assign` again and again. Use on the event loop only."""

    def __init__(self, registry: AgentRegistry, watches: Watches, clock: Clock = now_us) -> None:
        self._registry = registry
        self._watches = watches
        self._clock = clock
        self._asked: dict[tuple[int, str], _Asked] = {}
        self._told: WeakKeyDictionary[Connection, wire.Observe] = WeakKeyDictionary()

    def assign(self, project_id: int, used: Mapping[str, Sequence[str]]) -> None:
        """Ask for each source that a connected agent can count. `used`: source -> the queues that
        tasks were in lately, beside those that workers say they consume."""
        live = self._registry.connections(project_id)
        wanted: dict[Connection, list[wire.Watch]] = {connection: [] for connection in live}
        for source in _sources(live):
            able = [one for one in live if _counts(one, source)]
            if able:
                names = _names(live, source, used.get(source, ()))
                wanted[self._choose(project_id, source, able)].append(wire.Watch(source, names))
        for connection, watches in wanted.items():
            self._tell(connection, wire.Observe(tuple(watches), EVERY_S))

    def _choose(self, project_id: int, source: str, able: list[Connection]) -> Connection:
        """Whoever does it already, unless it does not; then the next one after it."""
        now, key = self._clock(), (project_id, source)
        asked = self._asked.get(key)
        if asked is not None and asked.connection in able:
            at = able.index(asked.connection)
            if len(able) == 1 or self._does_it(project_id, source, asked, now):
                return asked.connection
            able = able[at + 1 :] + able[:at]
        self._asked[key] = _Asked(able[0], now)
        return able[0]

    def _does_it(self, project_id: int, source: str, asked: _Asked, now: int) -> bool:
        watch = self._watches.source(project_id, source)
        counted = watch.good_us if watch is not None else 0
        return now - max(asked.at_us, counted) < PATIENCE_US

    def _tell(self, connection: Connection, order: wire.Observe) -> None:
        known = self._told.get(connection, wire.Observe((), EVERY_S))
        if order != known:
            self._told[connection] = order
            connection.send(order)


def _sources(live: list[Connection]) -> list[str]:
    found = (engine.source for one in live for engine in one.agent.hello.engines)
    return list(dict.fromkeys(found))


def _counts(connection: Connection, source: str) -> bool:
    engine = connection.agent.engine_of(source)
    return engine is not None and engine.counts


def _names(live: list[Connection], source: str, used: Sequence[str]) -> tuple[str, ...]:
    """All queues of the source: whoever counts knows only its own. Sorted, so that they change
    only when they do."""
    found = dict.fromkeys(used)
    for connection in live:
        engine = connection.agent.engine_of(source)
        found.update(dict.fromkeys(engine.queues if engine else ()))
    return tuple(sorted(name for name in found if name)[:MAX_NAMES])
