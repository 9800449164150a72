# SPDX-License-Identifier: AGPL-3.0-only
"""Commands that were on their way when a connection broke or the server died: sent again to the
same agent, on its next connection.

That is safe, because an agent acts on an id once for as long as its process lives: it passes over
one that it knows, and the answer waits in its lane. An agent id is one process; nothing that was
sent to it is ever sent to another, since the first one may have acted.
"""

from sqlalchemy import update

from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.commands.delivery import LEASE_US, Claimed, load_calls, slug_of
from queuedeck.domain.commands.desk import CommandDesk, ResultDesk
from queuedeck.domain.commands.later import still_due
from queuedeck.domain.commands.models import OPEN, Command
from queuedeck.domain.commands.queries import CommandState, seen, visible

AGAIN_LIMIT = 1_000
"""As many as an agent lets wait for their turn. Of more, the lease decides."""


async def claim_again(desk: CommandDesk, project_id: int, agent: AgentSeen) -> list[Claimed]:
    """What this agent was sent before and has not answered, while its deadline has not passed:
    oldest first. The answer may take as long again.
    """
    now = desk.clock()
    theirs = (
        Command.state == CommandState.SENT,
        Command.agent_id == agent.agent_id,
        Command.deadline_us > now,
    )
    statement = visible(project_id).where(*theirs).order_by(Command.audit_seq, Command.task_key)
    async with desk.control.read() as session:
        found = [seen(row) for row in await session.scalars(statement.limit(AGAIN_LIMIT))]
    if not found:
        return []
    sealed = await load_calls(desk, project_id, found)
    async with desk.control.write() as session:
        slug = await slug_of(session, project_id)
        # An answer may have come meanwhile: of the same agent, on this connection.
        still = set(
            await session.scalars(
                update(Command)
                .where(Command.project_id == project_id, *theirs)
                .where(Command.id.in_([command.id for command in found]))
                .values(lease_us=now + LEASE_US)
                .returning(Command.id)
            )
        )
    return [Claimed(still_due(c, now), slug, sealed.get(c.id, b"")) for c in found if c.id in still]


async def renew_leases(desk: ResultDesk) -> None:
    """When the server starts: nobody could answer while it was away, so agents get the time to
    come back before anything is called unknown.
    """
    async with desk.control.write() as session:
        await session.execute(
            update(Command)
            .where(OPEN, Command.state == CommandState.SENT)
            .values(lease_us=desk.clock() + LEASE_US)
        )
