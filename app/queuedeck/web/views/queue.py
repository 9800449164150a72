# SPDX-License-Identifier: AGPL-3.0-only
"""One queue: its numbers, its workers, what an agent saw in it, and what can be done."""

import msgspec

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.agents.registry import AgentRegistry, AgentSeen
from queuedeck.domain.commands.queries import CommandSeen, CommandState
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.commands import DEAD, PEEK, REQUEUE
from queuedeck.domain.queues.found import FoundMessage, read_found
from queuedeck.domain.queues.overview import QueueLine
from queuedeck.domain.queues.pauses import PauseSeen
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.domain.queues.told import consumes
from queuedeck.web import urls
from queuedeck.web.format import Moment, count, moment_ago, moment_minute, plural
from queuedeck.web.jsontree import Node, read_args
from queuedeck.web.views.commands import CommandView, command_view
from queuedeck.web.views.pauses import PauseBanner, pause_banner
from queuedeck.web.views.queues import QueueRow, queue_row
from queuedeck.web.views.words import EngineTag, engine_tag

RESUME_AFTER = (("30 minutes", "30"), ("2 hours", "120"), ("8 hours", "480"), ("a day", "1440"))


class QueueAction(msgspec.Struct, frozen=True, kw_only=True):
    """A button, and why it cannot be pressed."""

    id: str
    url: str
    hint: str
    """What the engine does then, by the adapter's own words where it has some."""
    why_not: str


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    host: str
    slots: str
    url: str


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    key: str
    """Its id in the page."""
    url: str
    name: str
    arguments: list[Node]
    when: Moment | None
    due: Moment | None
    notes: str
    error: str
    back: str
    """What became of putting it back; empty: nobody asked."""
    can_choose: bool


class LookView(msgspec.Struct, frozen=True, kw_only=True):
    """What `peek` or `dead` has found, or how far it is."""

    action: QueueAction
    command: CommandView | None
    id: str
    """The command's."""
    messages: tuple[MessageView, ...]
    note: str


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    tag: EngineTag
    name: str
    source: str
    row: QueueRow
    tasks_url: str
    trends_url: str
    counted: str
    pause: PauseBanner | None
    pausing: QueueAction
    resuming: QueueAction
    resume_after: tuple[tuple[str, str], ...]
    purging: QueueAction
    purge_count: str
    requeue: QueueAction
    peek: LookView
    dead: LookView
    consumers: tuple[Consumer, ...]
    consumers_note: str
    commands: tuple[CommandView, ...]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page is made of."""

    queue: QueueRef
    line: QueueLine
    access: Access
    registry: AgentRegistry
    pause: PauseSeen | None
    commands: list[CommandSeen]
    peek: CommandSeen | None
    dead: CommandSeen | None
    now_us: int


def queue_view(seen: Seen) -> QueueView:
    project, queue, line = seen.access.project.slug, seen.queue, seen.line
    agents = seen.registry.agents(seen.access.project.id)
    views = tuple(command_view(one, project, seen.now_us) for one in seen.commands)
    return QueueView(
        tag=engine_tag(queue.engine),
        name=queue.name,
        source=line.source_name or line.source,
        row=queue_row(line, project, seen.now_us, several=True, pause=seen.pause),
        tasks_url=queue_row(line, project, seen.now_us, several=True).tasks_url,
        trends_url=urls.trends(project, "30d", {"queue": queue.name}),
        counted=_counted(line),
        pause=pause_banner(seen.pause, project, seen.now_us) if seen.pause else None,
        pausing=_action(seen, "pause", "pauses", Permission.PAUSE, agents),
        resuming=_action(seen, "resume", "resumptions", Permission.PAUSE, agents),
        resume_after=RESUME_AFTER,
        purging=_action(seen, "purge", "purges", Permission.PURGE, agents),
        purge_count="" if line.waiting is None else count(line.waiting),
        requeue=_action(seen, REQUEUE, "requeues", Permission.RETRY, agents),
        peek=_look(seen, PEEK, "peeks", seen.peek, agents),
        dead=_look(seen, DEAD, "dead-letters", seen.dead, agents),
        consumers=_consumers(agents, queue, project),
        consumers_note=_without_agent(line),
        commands=tuple(one for one, of in zip(views, seen.commands, strict=True) if _is_told(of)),
    )


def _counted(line: QueueLine) -> str:
    if line.counted_us is None:
        return line.why or "Nobody has counted it yet."
    return line.why or "Counted in the broker every 5 s. In, out and wait p95: the last 5 minutes."


def _is_told(command: CommandSeen) -> bool:
    """What was only looked at is no history."""
    return command.verb not in (PEEK, DEAD)


def _action(
    seen: Seen, verb: str, noun: str, permission: Permission, agents: list[AgentSeen]
) -> QueueAction:
    queue, project = seen.queue, seen.access.project
    able, why = seen.registry.can(project.id, queue.source, verb)
    if not seen.access.allows(permission):
        why = f"Your role here is {seen.access.role.value}; this needs an operator."
        able = False
    base = urls.queue(project.slug, queue.engine, queue.source, queue.name)
    return QueueAction(
        id=verb,
        url=f"{base}/{noun}",
        hint=_hint(agents, queue.source, verb),
        why_not="" if able else why,
    )


def _hint(agents: list[AgentSeen], source: str, verb: str) -> str:
    """How the adapter does it where it is not the engine's own way."""
    for agent in agents:
        engine = agent.engine_of(source)
        for ability in engine.capabilities if engine else ():
            if ability.verb == verb and ability.how == "emulated" and ability.reason:
                return ability.reason
    return ""


def _look(
    seen: Seen, verb: str, noun: str, command: CommandSeen | None, agents: list[AgentSeen]
) -> LookView:
    project = seen.access.project.slug
    found = read_found(command.found) if command else []
    back = _put_back(seen.commands, command)
    return LookView(
        action=_action(seen, verb, noun, Permission.INSPECT_QUEUES, agents),
        command=command_view(command, project, seen.now_us) if command else None,
        id=command.id if command else "",
        messages=tuple(_message(one, seen, back) for one in found),
        note=_look_note(command, found),
    )


def _look_note(command: CommandSeen | None, found: list[FoundMessage]) -> str:
    if command is None or command.state is not CommandState.DONE:
        return ""
    if not found:
        return "There was none."
    more = command.affected - len(found)
    return f"{plural(len(found), 'message')}" + (
        f" of {count(command.affected)}" if more > 0 else ""
    )


def _put_back(commands: list[CommandSeen], listed: CommandSeen | None) -> dict[str, str]:
    """Dead letter -> what became of putting it back since they were listed."""
    words: dict[str, str] = {}
    for command in reversed(commands):
        if command.verb != REQUEUE or listed is None or command.created_us < listed.created_us:
            continue
        for one in command.details.ids:
            words[one] = {
                CommandState.DONE: "put back",
                CommandState.FAILED: "",
                CommandState.EXPIRED: "",
            }.get(command.state, "asked to put it back")
            if command.state is CommandState.UNKNOWN:
                words[one] = "unknown whether it was put back"
    return words


def _message(one: FoundMessage, seen: Seen, back: dict[str, str]) -> MessageView:
    notes = [f"attempt {one.attempt}"] if one.attempt > 1 else []
    notes += [f"priority {one.priority}"] if one.priority > 0 else []
    return MessageView(
        id=one.id,
        key=one.id.encode().hex()[:64],
        url=urls.task(seen.access.project.slug, seen.queue.engine, one.id),
        name=one.name or "(name not readable)",
        arguments=read_args(bytes(one.args)) if bytes(one.args) != b"null" else [],
        when=moment_ago(one.at_us, seen.now_us) if one.at_us else None,
        due=moment_minute(one.due_us) if one.due_us else None,
        notes=", ".join(notes),
        error=one.error,
        back=back.get(one.id, ""),
        can_choose=not back.get(one.id),
    )


def _consumers(agents: list[AgentSeen], queue: QueueRef, project: str) -> tuple[Consumer, ...]:
    return tuple(
        Consumer(
            name=engine.worker or f"pid {agent.hello.pid}",
            host=agent.hello.host,
            slots=plural(engine.slots, "slot") if engine.slots else "",
            url=f"{urls.workers(project)}#worker-{agent.agent_id[:12]}-{engine.source}",
        )
        for agent in agents
        if agent.connected and consumes(agent, queue.source, queue.name)
        for engine in agent.hello.engines
        if engine.source == queue.source and engine.role == "worker"
    )


def _without_agent(line: QueueLine) -> str:
    """Consumers that the broker counts and no agent speaks for: they go on when it is paused."""
    others = (line.consumers or 0) - line.workers
    if others <= 0:
        return ""
    return f"The broker counts {plural(others, 'consumer')} more, without the agent."


def open_topics(commands: list[CommandSeen]) -> tuple[str, ...]:
    """What the page waits for beside counts."""
    return tuple(f"command:{one.id}" for one in commands if one.is_open)
