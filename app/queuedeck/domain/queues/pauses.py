# SPDX-License-Identifier: AGPL-3.0-only
"""Pauses: an operator's wish, kept here and carried out by a command for each worker's agent.

The wish and its audit entry are one transaction; `carry_out` then asks whoever must be asked, at
once and in a loop, so that workers which come later are asked too. Who that is, is in told.py.
"""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import DAY_US, SECOND_US
from queuedeck.domain.accounts.actor import SYSTEM, Actor
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandSeen, CommandState, seen
from queuedeck.domain.commands.queries import visible as visible_commands
from queuedeck.domain.commands.service import Order, new_command, publish
from queuedeck.domain.projects.models import Project
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.domain.queues import told as rules
from queuedeck.domain.queues.models import Pause, PauseOrder
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.domain.queues.told import PausedWorker, Told, Word
from queuedeck.errors import Conflict, Invalid, NotSupported, QueuedeckError
from queuedeck_agent import wire

MAX_REASON = 500
MIN_S = 60
MAX_S = 30 * 86_400
KEPT_US = 30 * DAY_US
"""So long after its end a pause is remembered for hosts that come back."""
TOPICS = ("pauses", "queues")


class PauseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A pause that holds, and how far it has come. Times are microseconds, UTC."""

    id: int
    source: str
    engine: str
    queue: str
    reason: str
    requested_by: str
    audit_seq: int
    since_us: int
    until_us: int | None
    workers: list[PausedWorker]
    """Those that are connected now."""

    @property
    def confirmed(self) -> int:
        return sum(one.word is Word.CONFIRMED for one in self.workers)

    @property
    def is_waiting(self) -> bool:
        """Whether some worker may still confirm it."""
        return not self.workers or any(one.word is Word.WAITING for one in self.workers)


async def pause_queue(
    desk: CommandDesk,
    project: ProjectSeen,
    queue: QueueRef,
    by: Actor,
    *,
    reason: str,
    for_s: int = 0,
    request_id: str = "",
) -> PauseSeen:
    """Wish that no worker takes from the queue; `for_s`: it goes on by itself after so long.

    Raises `Invalid`, `Conflict` when it is paused already, or `NotSupported` with the reason.
    """
    reason = _checked(reason, for_s)
    able, why = desk.registry.can(project.id, queue.source, rules.PAUSE)
    refusal: QueuedeckError | None = None if able else NotSupported(why)
    now = desk.clock()
    until = now + for_s * SECOND_US if for_s else None
    async with desk.control.write() as session:
        held = await session.scalar(_open(project.id, queue))
        if held is not None:
            refusal = Conflict(
                f"The queue is paused already, by {held.requested_by.partition(':')[2]}: "
                f"{held.reason}. Resume it before you pause it anew."
            )
        told: dict[str, object] = {"reason": reason, "until_us": until or 0}
        seq = await _write_down(
            session, desk, by, project.slug, queue, rules.PAUSE, told, refusal, request_id
        )
        row = Pause(
            project_id=project.id,
            source=queue.source,
            engine=queue.engine,
            queue=queue.name,
            reason=reason,
            requested_by=by.label,
            audit_seq=seq,
            since_us=now,
            until_us=until,
        )
        if refusal is None:
            session.add(row)
    await _tell(desk, project.id, refusal)
    return await _shown(desk, project.id, row, await _told_of(desk, project.id, [row]))


async def resume_queue(
    desk: CommandDesk, project: ProjectSeen, queue: QueueRef, by: Actor, *, request_id: str = ""
) -> None:
    """End the pause. Raises `Conflict` when the queue is not paused."""
    refusal: QueuedeckError | None = None
    async with desk.control.write() as session:
        row = await session.scalar(_open(project.id, queue))
        if row is None:
            refusal = Conflict("The queue is not paused here, so there is nothing to resume.")
        seq = await _write_down(
            session, desk, by, project.slug, queue, rules.RESUME, {}, refusal, request_id
        )
        if row is not None:
            row.ended_us, row.ended_by, row.end_audit_seq = desk.clock(), by.label, seq
    await _tell(desk, project.id, refusal)


async def pauses_of(desk: CommandDesk, project_id: int) -> list[PauseSeen]:
    """The pauses of a project that hold, the newest first."""
    rows = [row for row in await _unsettled(desk, project_id) if row.ended_us is None]
    if not rows:
        return []
    rows.reverse()
    told = await _told_of(desk, project_id, rows)
    return [await _shown(desk, project_id, row, told) for row in rows]


async def end_due(desk: CommandDesk) -> int:
    """End the pauses whose time is over, as the server. Returns how many."""
    now = desk.clock()
    due = select(Pause).where(Pause.ended_us.is_(None), Pause.until_us <= now)
    async with desk.control.read() as session:
        if await session.scalar(due.limit(1)) is None:
            return 0
    async with desk.control.write() as session:
        slug = select(Project.slug).where(Project.id == Pause.project_id).scalar_subquery()
        found = list(await session.execute(due.add_columns(slug)))
        for row, project in found:
            queue = QueueRef(row.engine, row.source, row.queue)
            told: dict[str, object] = {"reason": "the time that was set for the pause is over"}
            row.end_audit_seq = await _write_down(
                session, desk, SYSTEM, project, queue, rules.RESUME, told, None, ""
            )
            row.ended_us, row.ended_by = now, SYSTEM.label
    for project_id in {row.project_id for row, _ in found}:
        await _tell(desk, project_id, None)
    return len(found)


async def carry_out(desk: CommandDesk, project_id: int) -> int:
    """Ask every agent that must be asked now to pause or to resume. Returns how many were."""
    rows = await _unsettled(desk, project_id)
    if not rows:
        return 0
    told, agents, now = (
        await _told_of(desk, project_id, rows),
        _agents(desk, project_id),
        desk.clock(),
    )
    asked: list[tuple[Pause, AgentSeen, str]] = []
    done: list[int] = []
    for group in _by_queue(rows):
        newest = group[-1]
        open_id = newest.id if newest.ended_us is None else None
        own = [one for one in told if one.pause_id in {row.id for row in group}]
        asks = rules.to_ask(agents, newest.source, newest.queue, open_id, own, now)
        asked += [(newest, agent, verb) for agent, verb in asks]
        if not asks and open_id is None and _is_over(newest, own, now):
            done += [row.id for row in group]
    return await _send(desk, project_id, asked, done)


def visible(project_id: int) -> Select[Pause]:
    """Every statement on pauses of a project starts here."""
    return select(Pause).where(Pause.project_id == project_id)


async def _unsettled(desk: CommandDesk, project_id: int) -> list[Pause]:
    """Those that hold or that somebody may still have, oldest first. Each page asks for them."""

    async def read() -> list[Pause]:
        statement = visible(project_id).where(Pause.settled.is_(False)).order_by(Pause.id)
        async with desk.control.read() as session:
            return list(await session.scalars(statement))

    return await desk.control.remembered(("pauses", project_id), read) or []


async def _send(
    desk: CommandDesk, project_id: int, asked: list[tuple[Pause, AgentSeen, str]], done: list[int]
) -> int:
    if not asked and not done:
        return 0
    sent: list[CommandSeen] = []
    async with desk.control.write() as session:
        for pause, agent, verb in asked:
            command = await _new_command(session, desk, pause, agent, verb)
            if command is not None:
                sent.append(seen(command))
        if done:
            for row in await session.scalars(visible(project_id).where(Pause.id.in_(done))):
                row.settled = True
    for command in sent:
        publish(desk, project_id, command)
    if sent:
        desk.commands_changed(project_id)
        desk.live.publish(project_id, TOPICS)
    return len(sent)


async def _new_command(
    session: AsyncSession, desk: CommandDesk, pause: Pause, agent: AgentSeen, verb: str
) -> Command | None:
    """None when the agent has an order of that kind which it has not answered."""
    order = _order(pause, agent, verb, desk.clock())
    is_open = visible_commands(pause.project_id).where(
        Command.target == order.target,
        Command.verb == verb,
        Command.only_agent == agent.agent_id,
        Command.state.in_((CommandState.PENDING, CommandState.SENT)),
    )
    if await session.scalar(is_open) is not None:
        return None
    by = pause.requested_by if verb == rules.PAUSE else pause.ended_by
    command = new_command(desk.clock(), pause.project_id, order, by)
    command.audit_seq = pause.audit_seq if verb == rules.PAUSE else pause.end_audit_seq
    session.add(command)
    await session.flush()
    engine = agent.engine_of(pause.source)
    session.add(
        PauseOrder(
            pause_id=pause.id,
            agent_id=agent.agent_id,
            host=agent.hello.host,
            worker=engine.worker if engine else "",
            verb=verb,
            command_id=command.id,
        )
    )
    return command


def _order(pause: Pause, agent: AgentSeen, verb: str, now: int) -> Order:
    """The time that is left is told at each order, so that late ones end with the others."""
    details = wire.CommandDetails()
    if verb == rules.PAUSE:
        left = -(-(pause.until_us - now) // SECOND_US) if pause.until_us else 0
        for_s = max(1, left) if pause.until_us else 0
        details = wire.CommandDetails(for_s=for_s, reason=pause.reason)
    queue = QueueRef(pause.engine, pause.source, pause.queue)
    return Order(
        verb=verb,
        engine=pause.engine,
        source=pause.source,
        target=queue.target,
        queue=pause.queue,
        details=details,
        only_agent=agent.agent_id,
    )


def _is_over(pause: Pause, told: Sequence[Told], now: int) -> bool:
    """Nothing is left to do: all have gone on, and a day long no host came back; or a month."""
    age = now - (pause.ended_us or now)
    return age >= KEPT_US or (age >= DAY_US and rules.is_settled(told))


def _by_queue(rows: Iterable[Pause]) -> list[list[Pause]]:
    groups: dict[tuple[str, str], list[Pause]] = {}
    for row in rows:
        groups.setdefault((row.source, row.queue), []).append(row)
    return list(groups.values())


async def _told_of(desk: CommandDesk, project_id: int, rows: Sequence[Pause]) -> list[Told]:
    """The orders of these pauses, oldest first."""
    statement = (
        select(PauseOrder, Command)
        .join(Command, Command.id == PauseOrder.command_id)
        .where(Command.project_id == project_id, PauseOrder.pause_id.in_([row.id for row in rows]))
        .order_by(PauseOrder.id)
    )
    async with desk.control.read() as session:
        return [_told(order, command) for order, command in await session.execute(statement)]


def _told(order: PauseOrder, command: Command) -> Told:
    return Told(
        id=order.id,
        pause_id=order.pause_id,
        agent_id=order.agent_id,
        host=order.host,
        worker=order.worker,
        verb=order.verb,
        command_id=order.command_id,
        created_us=command.created_us,
        state=CommandState(command.state),
        code=command.code,
        message=command.message,
        effect=command.effect,
        verified=command.verified,
    )


async def _shown(desk: CommandDesk, project_id: int, row: Pause, told: Sequence[Told]) -> PauseSeen:
    agents = _agents(desk, project_id)
    same = ("id", "source", "engine", "queue", "reason", "requested_by", "audit_seq")
    return PauseSeen(
        **{name: getattr(row, name) for name in same},
        since_us=row.since_us,
        until_us=row.until_us,
        workers=rules.workers_of(agents, row.source, row.queue, row.id, told),
    )


def _agents(desk: CommandDesk, project_id: int) -> list[AgentSeen]:
    return desk.registry.agents(project_id)


def _open(project_id: int, queue: QueueRef) -> Select[Pause]:
    return visible(project_id).where(
        Pause.source == queue.source, Pause.queue == queue.name, Pause.ended_us.is_(None)
    )


def _checked(reason: str, for_s: int) -> str:
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why the queue is paused: whoever finds it paused will want to know.")
    if len(reason) > MAX_REASON:
        raise Invalid(f"The reason is longer than {MAX_REASON} characters.")
    if for_s and not MIN_S <= for_s <= MAX_S:
        raise Invalid("A pause that ends by itself lasts between a minute and 30 days.")
    return reason


async def _write_down(
    session: AsyncSession,
    desk: CommandDesk,
    by: Actor,
    slug: str,
    queue: QueueRef,
    verb: str,
    told: dict[str, object],
    refusal: QueuedeckError | None,
    request_id: str,
) -> int:
    refused = {"refused": refusal.message} if refusal else {}
    return await audit.append(
        session, desk.keyring, desk.clock, by, f"queue.{verb}", queue.audit_target,
        "refused" if refusal else "requested", slug, {**told, **refused}, request_id,
    )  # fmt: skip


async def _tell(desk: CommandDesk, project_id: int, refusal: QueuedeckError | None) -> None:
    """After the commit: raise what was refused, or ask the agents."""
    desk.live.publish(project_id, ("audit",) if refusal else (*TOPICS, "audit"))
    if refusal is not None:
        raise refusal
    await carry_out(desk, project_id)
