# SPDX-License-Identifier: AGPL-3.0-only
"""Commands on their way: claimed for one agent, signed, and what came of them.

At most once: a command that was sent is never sent again. When its agent does not answer, its
outcome is unknown until that agent's answer comes, however late.
"""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.actor import SYSTEM, Actor
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk, ResultDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandSeen, CommandState, seen, visible
from queuedeck.domain.commands.service import audit_target, publish
from queuedeck.domain.projects.models import Project
from queuedeck.keyring import Keyring
from queuedeck_agent import wire

TTL_S = 60
"""How long after receipt an agent may begin to act."""
LEASE_US = 180 * SECOND_US
"""How long after sending the answer may take before the outcome is called unknown."""
EXPIRE_LIMIT = 200
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
    """Take the pending commands that this agent can carry out, oldest first. They are marked as
    sent before this returns: whatever happens next, no other agent gets them.
    """
    candidates = [c for c in await _pending(desk, project_id) if _fits(c, agent)]
    if not candidates:
        return []
    # Read before the transaction: the history is another database.
    sealed = {
        c.id: await desk.history.sealed_call(project_id, c.task_key) if c.seal_id else b""
        for c in candidates
    }
    claimed: list[Claimed] = []
    async with desk.control.write() as session:
        slug = await _slug(session, project_id)
        for candidate in candidates:
            command = await _claim(session, desk, candidate.id, agent.agent_id)
            if command is not None:
                claimed.append(Claimed(command, slug, sealed[command.id]))
    for item in claimed:
        publish(desk, project_id, item.command)
    return claimed


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
    changed: list[CommandSeen] = []
    async with desk.control.write() as session:
        slug = await _slug(session, project_id)
        for result in results:
            statement = visible(project_id).where(Command.id == result.command_id)
            row = await session.scalar(statement)
            if row is None or row.answered_us is not None:
                continue
            _write_answer(row, result, desk.clock())
            if not row.operation_id:
                agent = Actor("system", row.agent_id, f"agent {row.agent_id[:8]}", "agent")
                await _record(session, desk, agent, row, slug)
            changed.append(seen(row))
    for command in changed:
        publish(desk, project_id, command)
    return len(changed)


async def expire_due(desk: ResultDesk, now: int | None = None) -> int:
    """End the commands that waited or were out for too long. Returns how many."""
    now = desk.clock() if now is None else now
    due = or_(
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
    for command in changed:
        publish(desk, command.project_id, command)
    return len(changed)


async def _pending(desk: CommandDesk, project_id: int) -> list[CommandSeen]:
    statement = (
        visible(project_id)
        .where(Command.state == CommandState.PENDING, Command.deadline_us > desk.clock())
        .order_by(Command.audit_seq)
    )
    async with desk.control.read() as session:
        return [seen(row) for row in await session.scalars(statement)]


def _fits(command: CommandSeen, agent: AgentSeen) -> bool:
    if command.only_agent not in ("", agent.agent_id):
        return False
    able, _reason = agent.can(command.source, command.verb)
    return able and (not command.seal_id or command.seal_id in agent.hello.seal_ids)


async def _claim(
    session: AsyncSession, desk: CommandDesk, command_id: str, agent_id: str
) -> CommandSeen | None:
    """Mark as sent if it is still pending: of two agents one gets it."""
    now = desk.clock()
    row = await session.scalar(
        update(Command)
        .where(Command.id == command_id, Command.state == CommandState.PENDING)
        .where(Command.deadline_us > now)
        .values(state=CommandState.SENT, agent_id=agent_id, sent_us=now, lease_us=now + LEASE_US)
        .returning(Command)
    )
    return seen(row) if row else None


def _write_answer(row: Command, result: Result, now: int) -> None:
    row.answered_us = row.finished_us = now
    if isinstance(result, wire.CommandDone):
        row.state, row.code, row.message = CommandState.DONE.value, "", ""
        row.effect = result.effect[:MAX_TEXT]
        row.new_task_id = result.new_task_id[:MAX_TEXT]
        row.verified, row.affected = result.verified, result.affected
        row.found = result.found[:MAX_FOUND_BYTES]
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


async def _slug(session: AsyncSession, project_id: int) -> str:
    slug = await session.scalar(select(Project.slug).where(Project.id == project_id))
    return slug or ""
