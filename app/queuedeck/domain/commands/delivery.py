# SPDX-License-Identifier: AGPL-3.0-only
"""Commands on their way: claimed for one agent, signed, and what came of them.

At most once: a command that was sent is never sent to another agent; to the same one only as
`again.py` says. When its agent does not answer, its outcome is unknown until that agent's answer
comes, however late.
"""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.actor import SYSTEM, Actor
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk, ResultDesk
from queuedeck.domain.commands.later import still_due
from queuedeck.domain.commands.models import OPEN, Command
from queuedeck.domain.commands.queries import CommandSeen, CommandState, seen, visible
from queuedeck.domain.commands.service import audit_target, publish
from queuedeck.domain.operations.outcomes import copy_outcomes
from queuedeck.domain.projects.models import Project
from queuedeck.keyring import Keyring
from queuedeck_agent import wire

TTL_S = 60
"""How long after receipt an agent may begin to act."""
LEASE_US = 180 * SECOND_US
"""How long after sending the answer may take before the outcome is called unknown."""
EXPIRE_LIMIT = 200
CLAIM_LIMIT = 50
"""So many commands are taken for one agent at once: others have their turn, too."""
ROWS_AT_ONCE = 500
MAX_TEXT = 2_000
MAX_FOUND_BYTES = 256 << 10

Result = wire.CommandDone | wire.CommandFailed


class Claimed(msgspec.Struct, frozen=True):
    """A command that now belongs to one agent."""

    command: CommandSeen
    project: str
    """The slug."""
    sealed: bytes


async def claim_for_agent(desk: CommandDesk, project_id: int, agent: AgentSeen) -> list[Claimed]:
    """Take pending commands that this agent can carry out: single ones first, then those of
    operations, oldest first, at most `CLAIM_LIMIT`. They are marked as sent before this returns:
    whatever happens next, no other agent gets them.
    """
    candidates = await _pending(desk, project_id, agent)
    if not candidates:
        return []
    sealed = await load_calls(desk, project_id, candidates)
    async with desk.control.write() as session:
        slug = await slug_of(session, project_id)
        claimed = await _claim(session, desk, [c.id for c in candidates], agent.agent_id)
    found = [
        Claimed(still_due(claimed[c.id], desk.clock()), slug, sealed.get(c.id, b""))
        for c in candidates
        if c.id in claimed
    ]
    for item in found:
        publish(desk, project_id, item.command)
    return found


async def load_calls(
    desk: CommandDesk, project_id: int, commands: Sequence[CommandSeen]
) -> dict[str, bytes]:
    """The sealed calls that commands carry, by command id. Before the transaction that claims
    them: the history is another database.
    """
    keys = {command.id: command.task_key for command in commands if command.seal_id}
    if not keys:
        return {}
    calls = await desk.history.sealed_calls(project_id, sorted(set(keys.values())))
    return {number: calls[key] for number, key in keys.items() if key in calls}


def build_command(keyring: Keyring, hello: wire.Hello, claimed: Claimed) -> wire.Command:
    """The signed order, for this agent on this connection only."""
    command = claimed.command
    body = wire.encode(
        wire.CommandBody(
            command_id=command.id,
            agent_id=hello.agent_id,
            nonce=hello.nonce,
            project=claimed.project,
            verb=command.verb,
            source=command.source,
            task_id=command.task_id,
            task_name=command.task_name,
            ttl_s=TTL_S,
            attempt=command.attempt,
            queue=command.queue,
            sealed=claimed.sealed,
            audit_seq=command.audit_seq,
            actor=command.requested_by,
            details=command.details,
        )
    )
    return wire.Command(body, keyring.sign_command(body))


async def apply_results(desk: ResultDesk, project_id: int, events: Iterable[object]) -> int:
    """Record agents' answers, with an audit entry each; other events are passed over.

    An answer that is recorded already changes nothing, so the same events may come again. Returns
    how many were new.
    """
    results = [e for e in events if isinstance(e, wire.CommandDone | wire.CommandFailed)]
    if not results:
        return 0
    async with desk.control.write() as session:
        slug = await slug_of(session, project_id)
        rows = await _commands(session, project_id, {result.command_id for result in results})
        answered: list[Command] = []
        for result in results:
            row = rows.get(result.command_id)
            if row is None or row.answered_us is not None:
                continue
            _write_answer(row, result, desk.clock())
            if not row.operation_id:
                agent = Actor("system", row.agent_id, f"agent {row.agent_id[:8]}", "agent")
                await _record(session, desk, agent, row, slug)
            answered.append(row)
        await copy_outcomes(session, answered, desk.clock())
        changed = [seen(row) for row in answered]
    for command in changed:
        publish(desk, project_id, command)
    return len(changed)


async def expire_due(desk: ResultDesk, now: int | None = None) -> int:
    """End the commands that waited or were out for too long. Returns how many."""
    now = desk.clock() if now is None else now
    due = OPEN & or_(
        (Command.state == CommandState.PENDING) & (Command.deadline_us <= now),
        (Command.state == CommandState.SENT) & (Command.lease_us <= now),
    )
    async with desk.control.read() as session:
        if await session.scalar(select(Command.id).where(due).limit(1)) is None:
            return 0
    changed: list[CommandSeen] = []
    async with desk.control.write() as session:
        rows: Sequence[tuple[Command, str]] = [
            (command, slug)
            for command, slug in await session.execute(
                select(Command, Project.slug)
                .join(Project, Project.id == Command.project_id)
                .where(due)
                .limit(EXPIRE_LIMIT)
            )
        ]
        for row, slug in rows:
            _end_unanswered(row, now)
            if not row.operation_id:
                await _record(session, desk, SYSTEM, row, slug)
            changed.append(seen(row))
        await copy_outcomes(session, [row for row, _ in rows], now)
    for command in changed:
        publish(desk, command.project_id, command)
    return len(changed)


async def _pending(desk: CommandDesk, project_id: int, agent: AgentSeen) -> list[CommandSeen]:
    """What waits and fits: the database leaves out the rest, so that those which wait for another
    agent, however many, are not read.
    """
    fits = _fits(agent)
    if not fits:
        return []
    statement = (
        visible(project_id)
        .where(Command.state == CommandState.PENDING, Command.deadline_us > desk.clock())
        .where(Command.only_agent.in_(("", agent.agent_id)))
        .where(Command.seal_id.in_(("", *agent.hello.seal_ids)), or_(*fits))
        .order_by(Command.operation_id != "", Command.audit_seq, Command.task_key)
        .limit(CLAIM_LIMIT)
    )
    async with desk.control.read() as session:
        return [seen(row) for row in await session.scalars(statement)]


def _fits(agent: AgentSeen) -> list[ColumnElement[bool]]:
    """For each source that the agent serves: the verbs that it would carry out there."""
    able = {
        engine.source: [verb for verb in wire.VERBS if agent.can(engine.source, verb)[0]]
        for engine in agent.hello.engines
    }
    return [
        (Command.source == source) & Command.verb.in_(verbs)
        for source, verbs in able.items()
        if verbs
    ]


async def _claim(
    session: AsyncSession, desk: CommandDesk, command_ids: Sequence[str], agent_id: str
) -> dict[str, CommandSeen]:
    """Mark as sent those that are still pending: of two agents one gets each."""
    now = desk.clock()
    rows = await session.scalars(
        update(Command)
        .where(Command.id.in_(command_ids), Command.state == CommandState.PENDING)
        .where(Command.deadline_us > now)
        .values(state=CommandState.SENT, agent_id=agent_id, sent_us=now, lease_us=now + LEASE_US)
        .returning(Command)
    )
    return {row.id: seen(row) for row in rows}


def _write_answer(row: Command, result: Result, now: int) -> None:
    row.answered_us = row.finished_us = now
    if isinstance(result, wire.CommandDone):
        row.state, row.code, row.message = CommandState.DONE.value, "", ""
        row.effect = result.effect[:MAX_TEXT]
        row.new_task_id = result.new_task_id[:MAX_TEXT]
        row.verified, row.affected = result.verified, result.affected
        row.found = result.found[:MAX_FOUND_BYTES]
        row.has_payload = row.has_payload or bool(row.found)
        return
    ends = {"expired": CommandState.EXPIRED, "unknown": CommandState.UNKNOWN}
    row.state = ends.get(result.code, CommandState.FAILED).value
    row.code, row.message = result.code[:MAX_TEXT], result.message[:MAX_TEXT]


def _end_unanswered(row: Command, now: int) -> None:
    row.finished_us = now
    if row.state == CommandState.PENDING:
        row.state = row.code = CommandState.EXPIRED.value
        row.message = (
            "No agent that could do this connected in time, so nothing was done. "
            "Start a worker and ask again."
        )
    else:
        row.state = row.code = CommandState.UNKNOWN.value
        row.message = (
            "The agent took the command and did not answer. It may have acted: look at the task "
            "and its queue before you ask again."
        )


async def _record(
    session: AsyncSession, desk: ResultDesk, by: Actor, row: Command, slug: str
) -> None:
    await audit.append(
        session,
        desk.keyring,
        desk.clock,
        by,
        f"command.{row.verb}",
        audit_target(row.engine, row.target, row.task_id),
        row.state,
        slug,
        {
            "command": row.id,
            "requested": row.audit_seq,
            "code": row.code,
            "message": row.message,
            "effect": row.effect,
            "new_task_id": row.new_task_id,
            "verified": row.verified,
            "affected": row.affected,
        },
    )


async def _commands(
    session: AsyncSession, project_id: int, command_ids: set[str]
) -> dict[str, Command]:
    found: dict[str, Command] = {}
    ids = sorted(command_ids)
    for at in range(0, len(ids), ROWS_AT_ONCE):
        some = Command.id.in_(ids[at : at + ROWS_AT_ONCE])
        rows = await session.scalars(visible(project_id).where(some))
        found |= {row.id: row for row in rows}
    return found


async def slug_of(session: AsyncSession, project_id: int) -> str:
    slug = await session.scalar(select(Project.slug).where(Project.id == project_id))
    return slug or ""
