# SPDX-License-Identifier: AGPL-3.0-only
"""Agents: who is connected, what they run and allow, and what the operator should know."""

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.reconcile.truth import Truth
from queuedeck.web import urls
from queuedeck.web.format import (
    Moment,
    count,
    duration,
    moment_ago,
    plural,
    size,
)
from queuedeck.web.views.words import Empty, EngineTag, Link, engine_tag
from queuedeck_agent import wire

SKEW_SHOWN_US = 2 * SECOND_US
SILENT_AFTER_US = 30 * SECOND_US
"""Three heartbeats missed."""


class EngineLine(msgspec.Struct, frozen=True, kw_only=True):
    tag: EngineTag
    version: str
    name: str
    facts: str
    queues: tuple[str, ...]
    cannot: tuple[str, ...]


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    host: str
    process: str
    state: str
    word: str
    seen: Moment
    began: Moment
    software: str
    engines: tuple[EngineLine, ...]
    allow: str
    allow_title: str
    backlog: str
    backlog_note: str
    lost: str
    warnings: tuple[str, ...]


class AgentsView(msgspec.Struct, frozen=True, kw_only=True):
    agents: tuple[AgentView, ...]
    total: str
    empty: Empty | None
    connect_url: str
    ran: Moment | None
    """When open tasks were last looked at."""
    truth: str


def agents_view(
    agents: list[AgentSeen], project: str, now_us: int, can_connect: bool, truth: Truth
) -> AgentsView:
    connected = sum(agent.connected for agent in agents)
    away = len(agents) - connected
    total = plural(connected, "agent") + " connected"
    total += f", {count(away)} seen within a day" if away else ""
    return AgentsView(
        agents=tuple(agent_view(agent, now_us) for agent in agents),
        total=total if agents else "",
        empty=None if agents else _empty(project, can_connect),
        connect_url=urls.connect(project) if can_connect else "",
        ran=moment_ago(truth.ran_us, now_us) if truth.ran_us and truth.every_s else None,
        truth=truth_line(truth),
    )


def truth_line(truth: Truth) -> str:
    """What was found of the tasks that seemed stuck."""
    if not truth.every_s:
        return "Open tasks are not reconciled: QUEUEDECK_RECONCILE_EVERY_S is 0."
    said = [f"{plural(truth.looked_at, 'open task')} looked at"]
    if truth.suspicious:
        said.append(f"{count(truth.suspicious)} seemed stuck")
    if truth.unanswerable:
        said.append(f"for {count(truth.unanswerable)} no agent is there to be asked")
    found = {
        "confirmed": truth.confirmed,
        "had ended": truth.ended,
        "lost": truth.lost,
        "unknown": truth.unknown,
    }
    told = [f"{count(n)} {word}" for word, n in found.items() if n]
    return ", ".join(said) + (f". Last 24 h: {', '.join(told)}." if told else ".")


def agent_view(agent: AgentSeen, now_us: int) -> AgentView:
    hello, beat = agent.hello, agent.heartbeat
    state, word = _state(agent, now_us)
    backlog = beat.backlog_bytes if beat else 0
    return AgentView(
        id=agent.agent_id[:8],
        host=hello.host,
        process=f"pid {hello.pid}",
        state=state,
        word=word,
        seen=moment_ago(agent.seen_us, now_us),
        began=moment_ago(hello.started_us or agent.connected_us, now_us),
        software=f"agent {hello.version}, Python {hello.python}",
        engines=tuple(_engine(engine) for engine in hello.engines),
        allow=", ".join(hello.allow) or "observe",
        allow_title="QUEUEDECK_ALLOW of that host: what it lets this dashboard do",
        backlog=size(backlog) if backlog else "none",
        backlog_note="in memory only" if hello.spool == "memory" else "",
        lost=count(beat.lost) if beat and beat.lost else "",
        warnings=_warnings(agent),
    )


def _state(agent: AgentSeen, now_us: int) -> tuple[str, str]:
    if not agent.connected:
        return "cancelled", "Not connected"
    if now_us - agent.seen_us > SILENT_AFTER_US:
        return "retrying", "Silent"
    return "succeeded", "Connected"


def _engine(engine: wire.EngineInfo) -> EngineLine:
    facts = [engine.role]
    if engine.pool:
        slots = f", {plural(engine.slots, 'slot')}" if engine.slots else ""
        facts.append(engine.pool + slots)
    if engine.tasks:
        facts.append(plural(len(engine.tasks), "task"))
    missing = [c for c in engine.capabilities if c.how == "none"]
    return EngineLine(
        tag=engine_tag(engine.engine),
        version=f"{engine_tag(engine.engine).title} {engine.version}",
        name=engine.worker,
        facts=" · ".join(facts),
        queues=engine.queues,
        cannot=tuple(f"Cannot {c.verb}: {c.reason}" for c in missing if c.reason),
    )


def _warnings(agent: AgentSeen) -> tuple[str, ...]:
    hello, found = agent.hello, list(agent.hello.warnings)
    if hello.spool == "memory":
        found.append("Events are held in memory only: a crash of this process loses them.")
    if agent.heartbeat and agent.heartbeat.lost:
        found.append(f"{plural(agent.heartbeat.lost, 'event')} dropped because the spool was full.")
    if skew := clock_skew(agent):
        found.append(f"Its clock is {skew} the server's; times of its tasks are off by that.")
    return tuple(found)


def clock_skew(agent: AgentSeen) -> str:
    """`4.10 s ahead of`, or `behind`; nothing when network time could explain it."""
    if abs(agent.clock_skew_us) <= SKEW_SHOWN_US:
        return ""
    way = "ahead of" if agent.clock_skew_us > 0 else "behind"
    return f"{duration(abs(agent.clock_skew_us))} {way}"


def _empty(project: str, can_connect: bool) -> Empty:
    text = "An agent is a small library inside your worker. It calls out to this server."
    links = (Link("Connect your first worker", urls.connect(project)),) if can_connect else ()
    return Empty("workers", "No agent has connected within a day", text, links)
