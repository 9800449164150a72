# SPDX-License-Identifier: AGPL-3.0-only
"""Asks agents to look into a queue, to empty it, and to put dead letters back."""

from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandSeen, seen, visible
from queuedeck.domain.commands.service import NO_DETAILS, Order, request
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.errors import Conflict, Invalid, NotSupported
from queuedeck_agent import wire

PURGE, PEEK, DEAD, REQUEUE = "purge", "peek", "dead", "requeue"
MAX_SHOWN = 100
"""Messages that an agent shows at most, and dead letters that one command puts back."""
SHOWN = 20
MAX_ID = 500
HISTORY = 30
"""Commands of a queue that are looked at, newest first."""


async def request_purge(
    desk: CommandDesk,
    project: ProjectSeen,
    queue: QueueRef,
    by: Actor,
    *,
    name: str,
    request_id: str = "",
) -> CommandSeen:
    """Ask an agent to take all waiting messages away. `name` must be the queue's, typed anew.

    Raises `Invalid` when it is not, `NotSupported` with the reason when no agent would do it.
    """
    if name != queue.name:
        raise Invalid("What you typed is not the name of this queue, so nothing was purged.")
    return await _ask(desk, project, _order(queue, PURGE), by, request_id)


async def request_peek(
    desk: CommandDesk,
    project: ProjectSeen,
    queue: QueueRef,
    by: Actor,
    *,
    amount: int = SHOWN,
    request_id: str = "",
) -> CommandSeen:
    """Ask an agent for the first waiting messages, which stay where they are."""
    details = wire.CommandDetails(amount=_amount(amount))
    return await _ask(desk, project, _order(queue, PEEK, details), by, request_id)


async def request_dead(
    desk: CommandDesk,
    project: ProjectSeen,
    queue: QueueRef,
    by: Actor,
    *,
    amount: int = SHOWN,
    request_id: str = "",
) -> CommandSeen:
    """Ask an agent for the messages that were given up, the newest first."""
    details = wire.CommandDetails(amount=_amount(amount))
    return await _ask(desk, project, _order(queue, DEAD, details), by, request_id)


async def request_requeue(
    desk: CommandDesk,
    project: ProjectSeen,
    queue: QueueRef,
    by: Actor,
    *,
    ids: tuple[str, ...],
    request_id: str = "",
) -> CommandSeen:
    """Ask an agent to put these dead letters back into their queue.

    Raises `Conflict` while others are on their way: one after the other, so that it is clear what
    became of which.
    """
    ids = tuple(dict.fromkeys(ids))
    if not ids:
        raise Invalid("Choose at least one dead letter.")
    if len(ids) > MAX_SHOWN or any(not one or len(one) > MAX_ID for one in ids):
        raise Invalid(f"At most {MAX_SHOWN} dead letters go back at once, each named by its id.")
    order = _order(queue, REQUEUE, wire.CommandDetails(ids=ids))
    return await _ask(desk, project, order, by, request_id, {"ids": len(ids)})


async def commands_of(db: ControlDb, project_id: int, target: str) -> list[CommandSeen]:
    """What was asked for a queue or a worker, newest first."""
    statement = visible(project_id).where(Command.target == target)
    newest = statement.order_by(Command.created_us.desc(), Command.id).limit(HISTORY)
    async with db.read() as session:
        return [seen(row) for row in await session.scalars(newest)]


async def newest_of(db: ControlDb, project_id: int, target: str, verb: str) -> CommandSeen | None:
    """The newest command of a verb on a queue, however many of others came after it."""
    newest = (
        visible(project_id)
        .where(Command.target == target, Command.verb == verb)
        .order_by(Command.created_us.desc(), Command.id)
        .limit(1)
    )
    async with db.read() as session:
        row = await session.scalar(newest)
    return seen(row) if row else None


async def _ask(
    desk: CommandDesk,
    project: ProjectSeen,
    order: Order,
    by: Actor,
    request_id: str,
    told: dict[str, object] | None = None,
) -> CommandSeen:
    able, why = desk.registry.can(project.id, order.source, order.verb)
    command = await request(
        desk,
        project,
        order,
        by,
        refusal=None if able else NotSupported(why),
        told={"queue": order.queue, **(told or {})},
        request_id=request_id,
    )
    if order.verb == REQUEUE and command.details != order.details:
        raise Conflict("Other dead letters are on their way back. Wait for their outcome.")
    desk.commands_changed(project.id)
    return command


def _order(queue: QueueRef, verb: str, details: wire.CommandDetails = NO_DETAILS) -> Order:
    return Order(
        verb=verb,
        engine=queue.engine,
        source=queue.source,
        target=queue.target,
        queue=queue.name,
        details=details,
    )


def _amount(number: int) -> int:
    if not 1 <= number <= MAX_SHOWN:
        raise Invalid(f"Between 1 and {MAX_SHOWN} messages can be shown.")
    return number
