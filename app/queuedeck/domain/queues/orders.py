# SPDX-License-Identifier: AGPL-3.0-only
"""Carries pauses out: one command for each agent that must be asked to pause, or to go on."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import DAY_US, SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandSeen, CommandState, seen
from queuedeck.domain.commands.queries import visible as visible_commands
from queuedeck.domain.commands.service import Order, new_command, publish
from queuedeck.domain.queues import told as rules
from queuedeck.domain.queues.models import Pause, PauseOrder
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.domain.queues.told import Told
from queuedeck_agent import wire

KEPT_US = 30 * DAY_US
"""So long after its end a pause is remembered for hosts that come back."""
TOPICS = ("pauses", "queues")


async def carry_out(desk: CommandDesk, project_id: int) -> int:
    """Ask every agent that must be asked now to pause or to resume. Returns how many were."""
    rows = await unsettled(desk, project_id)
    if not rows:
        return 0
    told, agents, now = (
        await told_of(desk, project_id, rows),
        desk.registry.agents(project_id),
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


async def unsettled(desk: CommandDesk, project_id: int) -> list[Pause]:
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


async def told_of(desk: CommandDesk, project_id: int, rows: Sequence[Pause]) -> list[Told]:
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
