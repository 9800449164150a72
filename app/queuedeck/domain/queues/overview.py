# SPDX-License-Identifier: AGPL-3.0-only
"""All queues of a project: what agents counted, what the rollups say of the flow, who consumes.

A number that nobody knows is None; nothing is made up of other numbers.
"""

from enum import StrEnum

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US, Clock
from queuedeck.domain.agents.registry import AgentRegistry, AgentSeen
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.domain.queues.watch import STALE_US, Key, QueueWatch, Watches
from queuedeck.history.queues import QueueCounts, QueueSource
from queuedeck.history.store import History

RATE_MINUTES = 5
WAIT_FOR_FIRST_US = 15 * SECOND_US
"""So long an agent that has just connected has for its first count."""
_MIN_ENDED = 5
"""From fewer attempts in the time of the rates nothing follows about when a queue is empty."""
_MIN_SHARE = 0.05
"""By this share what leaves and what comes must differ, or it is noise."""
_LONGEST_DRAIN_S = 7 * 86_400


class QueueState(StrEnum):
    COUNTED = "counted"
    STALE = "stale"
    """It was counted, but not of late."""
    UNKNOWN = "unknown"
    """It was never counted since the server started."""


class QueueLine(msgspec.Struct, frozen=True, kw_only=True):
    """One queue of one source. Durations and times are microseconds; times UTC."""

    source: str
    source_name: str
    engine: str
    name: str
    state: QueueState
    why: str = ""
    """Why it is not counted now, as a sentence."""
    why_since_us: int | None = None
    counted_us: int | None = None
    waiting: int | None = None
    scheduled: int | None = None
    taken: int | None = None
    """Taken by workers and not finished, prefetched ones included."""
    dead: int | None = None
    oldest_us: int | None = None
    """Since when the message that is next has waited."""
    consumers: int | None = None
    """By the broker's own count."""
    workers: int = 0
    """Connected workers with the agent that consume it."""
    slots: int = 0
    in_per_minute: float = 0.0
    """Tasks that were published, and attempts that go back for another, over the last minutes."""
    out_per_minute: float = 0.0
    """Attempts that ended."""
    wait_p95_us: int | None = None
    drain_s: int | None = None
    """When it would be empty if it went on so; null when that cannot be said."""
    grows_per_minute: float | None = None
    """When more comes than leaves, and the count has risen."""
    minutes: list[int | None] = []
    """The greatest count of each minute of the last hour, oldest first."""


async def queue_lines(
    history: History,
    registry: AgentRegistry,
    watches: Watches,
    clock: Clock,
    project_id: int,
) -> list[QueueLine]:
    """All that were counted, consumed or used within a day; those that wait longest first."""
    now = clock()
    since = now - now % MINUTE_US - RATE_MINUTES * MINUTE_US
    counts = await history.queue_counts(project_id, since, now)
    used = await history.queue_names(project_id, now - DAY_US)
    sources = {one.source: one for one in await history.sources(project_id)}
    agents = registry.agents(project_id)
    seen = watches.queues(project_id)
    flow = {(one.source, one.queue): one for one in counts}
    why = {source: _why(agents, watches, project_id, source, now) for source in sources}
    lines = [
        _line(
            key,
            sources.get(key[0]) or _unnamed(agents, key[0]),
            seen.get(key),
            flow.get(key),
            agents,
            why.get(key[0]) or _why(agents, watches, project_id, key[0], now),
            (now, (now - since) / MINUTE_US, watches.series(project_id, key)),
        )
        for key in {*seen, *used, *_consumed(agents)}
        if key[1]
    ]
    return sorted(lines, key=_urgency)


async def queue_line(
    history: History,
    registry: AgentRegistry,
    watches: Watches,
    clock: Clock,
    project_id: int,
    queue: QueueRef,
) -> QueueLine:
    """One of them; one that has been quiet for longer than a day is a line without numbers."""
    lines = await queue_lines(history, registry, watches, clock, project_id)
    quiet = QueueLine(
        source=queue.source,
        source_name="",
        engine=queue.engine,
        name=queue.name,
        state=QueueState.UNKNOWN,
        why=_why(registry.agents(project_id), watches, project_id, queue.source, clock())[0],
    )
    own = (line for line in lines if (line.source, line.name) == (queue.source, queue.name))
    return next(own, quiet)


def _line(
    key: Key,
    source: QueueSource,
    seen: QueueWatch | None,
    flow: QueueCounts | None,
    agents: list[AgentSeen],
    why: tuple[str, int | None],
    span: tuple[int, float, list[int | None]],
) -> QueueLine:
    now, minutes, series = span
    flow = flow or QueueCounts(source=key[0], queue=key[1])
    workers, slots = _workers(agents, key)
    line = QueueLine(
        source=key[0],
        source_name=source.name,
        engine=source.engine,
        name=key[1],
        state=QueueState.UNKNOWN,
        workers=workers,
        slots=slots,
        in_per_minute=(flow.arrived + flow.retried) / minutes,
        out_per_minute=flow.ended / minutes,
        wait_p95_us=flow.wait.p95,
        minutes=series,
    )
    if seen is None:
        return msgspec.structs.replace(line, why=why[0], why_since_us=why[1])
    depth = seen.depth
    stale = now - seen.seen_us > STALE_US
    waiting = _known(depth.waiting)
    drain_s, grows = (None, None) if stale else _course(waiting, series, flow, minutes)
    return msgspec.structs.replace(
        line,
        state=QueueState.STALE if stale else QueueState.COUNTED,
        why=why[0] if stale else "",
        why_since_us=(why[1] or seen.seen_us) if stale else None,
        counted_us=seen.seen_us,
        waiting=waiting,
        scheduled=_known(depth.scheduled),
        taken=_known(depth.taken),
        dead=_known(depth.dead),
        oldest_us=seen.oldest_us or None,
        consumers=_known(depth.consumers),
        drain_s=drain_s,
        grows_per_minute=grows,
    )


def _course(
    waiting: int | None, series: list[int | None], flow: QueueCounts, minutes: float
) -> tuple[int | None, float | None]:
    """(seconds until it is empty, growth in a minute): said only where flow and count agree. Who
    publishes without an agent is in the count and not in the flow."""
    before = [count for count in series[-RATE_MINUTES - 1 : -1] if count is not None]
    if not waiting or not before or flow.ended + flow.arrived < _MIN_ENDED:
        return None, None
    net = (flow.ended - flow.arrived - flow.retried) / minutes
    if net > 0 and waiting < before[0] and net >= _MIN_SHARE * flow.ended / minutes:
        drain = round(waiting / net * 60)
        return (drain if drain <= _LONGEST_DRAIN_S else None), None
    if net < 0 and waiting > before[0] and -net >= _MIN_SHARE * flow.arrived / minutes:
        return None, -net
    return None, None


def _why(
    agents: list[AgentSeen], watches: Watches, project_id: int, source: str, now: int
) -> tuple[str, int | None]:
    """Why a source is not counted now, and since when."""
    serving = [(agent, engine) for agent in agents if (engine := agent.engine_of(source))]
    live = [(agent, engine) for agent, engine in serving if agent.connected]
    if not live:
        gone = max((agent.seen_us for agent, _ in serving), default=None)
        return "No agent of this broker is connected.", gone
    able = [agent for agent, engine in live if engine.counts]
    if not able:
        reasons = [engine.no_counts for _, engine in live if engine.no_counts]
        return (reasons or ["The agents of this broker are too old to count."])[0], None
    watch = watches.source(project_id, source)
    if watch is not None and watch.trouble:
        return f"The agent cannot reach the broker: {watch.trouble}", watch.trouble_us
    if watch is not None and now - watch.good_us < STALE_US:
        return "Other queues of this broker are counted; this one was not found there.", None
    since = min(agent.connected_us for agent in able)
    if now - since < WAIT_FOR_FIRST_US:
        return "An agent has just been asked to count.", None
    return "The agent that was asked has not answered.", since


def _workers(agents: list[AgentSeen], key: Key) -> tuple[int, int]:
    """(workers, their slots) of those that are connected."""
    engines = [
        engine
        for agent in agents
        if agent.connected
        for engine in agent.hello.engines
        if engine.source == key[0] and engine.role == "worker" and key[1] in engine.queues
    ]
    return len(engines), sum(max(0, engine.slots) for engine in engines)


def _consumed(agents: list[AgentSeen]) -> set[Key]:
    return {
        (engine.source, queue)
        for agent in agents
        for engine in agent.hello.engines
        for queue in engine.queues
    }


def _unnamed(agents: list[AgentSeen], source: str) -> QueueSource:
    """A source whose first event has not come yet."""
    engines = (agent.engine_of(source) for agent in agents)
    name = next((engine.engine for engine in engines if engine), "")
    return QueueSource(source=source, engine=name, name="")


def _known(number: int) -> int | None:
    return number if number >= 0 else None


def _urgency(line: QueueLine) -> tuple[int, int, str, str]:
    """The longest wait first, then the deepest; what is empty by name."""
    waits = line.oldest_us if line.waiting and line.oldest_us else 1 << 62
    return waits, -(line.waiting or 0), line.name, line.source
