# SPDX-License-Identifier: AGPL-3.0-only
"""Asks for commands: an operator's action becomes a row of the outbox and an audit entry, in one
transaction. What was refused is in the audit log too. Sending is in delivery.py.
"""

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import MINUTE_US
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.desk import CommandDesk, ResultDesk
from queuedeck.domain.commands.entered import checked_delay
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import (
    NO_DETAILS,
    OPEN_STATES,
    CommandSeen,
    CommandState,
    seen,
    visible,
)
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.errors import Conflict, NotFound, QueuedeckError
from queuedeck.history.tasks import TaskDetail
from queuedeck.ids import new_id
from queuedeck_agent import wire

DEADLINE_US = 60 * MINUTE_US
"""How long a command waits for an agent that is away."""


async def request_retry(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    by: Actor,
    *,
    key: int | None = None,
    delay_s: int = 0,
    request_id: str = "",
) -> CommandSeen:
    """Ask an agent to run the task again with its original arguments, at once or not before so
    many seconds from now.

    The newest that the id has named, or the one with this key. A second request while one is open
    returns that one. Raises `NotFound`, `Conflict` or `NotSupported` with what to do.
    """
    task = await find_task(desk, project, engine, task_id, key)
    refusal = rules.retry_refusal(desk.registry, project.id, task)
    details = wire.CommandDetails(delay_s=checked_delay(delay_s)) if delay_s else NO_DETAILS
    order = task_order(task, rules.RETRY, details)
    told: dict[str, object] = {"delay_s": delay_s} if delay_s else {}
    command = await request(
        desk, project, order, by, refusal=refusal, told=told, request_id=request_id
    )
    desk.commands_changed(project.id)
    return command


async def request_cancel(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    by: Actor,
    *,
    key: int | None = None,
    request_id: str = "",
) -> CommandSeen:
    """Ask to cancel a waiting task, or to terminate a running one where its host allows that."""
    task = await find_task(desk, project, engine, task_id, key)
    refusal = rules.cancel_refusal(desk.registry, project.id, task)
    order = task_order(task, rules.cancel_verb(task))
    command = await request(desk, project, order, by, refusal=refusal, request_id=request_id)
    await desk.history.request_cancel(project.id, task.row.key)
    desk.commands_changed(project.id)
    return command


def publish(desk: ResultDesk, project_id: int, command: CommandSeen) -> None:
    """Tell browsers, after the commit."""
    topics = [f"command:{command.id}", *([] if command.operation_id else ["audit"])]
    if command.task_id:
        topics += [f"task:{command.engine}:{command.task_id}", "tasks"]
    if command.operation_id:
        topics.append(f"operation:{command.operation_id}")
    desk.live.publish(project_id, tuple(topics))


async def find_task(
    desk: CommandDesk, project: ProjectSeen, engine: str, task_id: str, key: int | None
) -> TaskDetail:
    """The newest that the id has named, or the one with this key. Raises `NotFound`."""
    task = await desk.history.find_task(project.id, engine, task_id, key=key)
    if task is None:
        raise NotFound("There is no such task in this project.")
    return task


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, of whom, about what."""

    verb: str
    engine: str
    source: str
    target: str
    """See `Command.target`."""
    task_id: str = ""
    task_key: int = 0
    task_name: str = ""
    queue: str = ""
    attempt: int = 0
    seal_id: str = ""
    details: wire.CommandDetails = NO_DETAILS
    only_agent: str = ""
    operation_id: str = ""
    command_id: str = ""
    """Of what whoever asks has chosen, so that the same asked twice is done once; else random."""


def task_order(task: TaskDetail, verb: str, details: wire.CommandDetails = NO_DETAILS) -> Order:
    """About one task, with its sealed call where the verb needs that."""
    row = task.row
    return Order(
        verb=verb,
        engine=row.engine,
        source=row.source,
        target=f"task:{row.key}",
        task_id=row.task_id,
        task_key=row.key,
        task_name=row.name,
        queue=row.queue,
        attempt=row.attempt,
        seal_id=task.seal_id if verb in rules.WITH_SEALED_CALL else "",
        details=details,
    )


async def request(
    desk: CommandDesk,
    project: ProjectSeen,
    order: Order,
    by: Actor,
    *,
    refusal: QueuedeckError | None = None,
    told: dict[str, object] | None = None,
    request_id: str = "",
) -> CommandSeen:
    """Write the command and its audit entry. A second request while one is open returns that one.

    With a `refusal` the audit log keeps that somebody asked, and it is raised. `told`: what the
    audit entry says beside name and source. The caller calls `desk.commands_changed`, which sends.
    """
    async with desk.control.write() as session:
        command = await _same_command(session, project.id, order)
        if command is None:
            command = await _open_command(session, project.id, order)
            if command and order.verb in rules.WITH_A_CHOICE and command.details != order.details:
                refusal, command = rules.under_way(f"`{order.verb}`", command.requested_by), None
        if command is None:
            outcome = "refused" if refusal else "requested"
            new = new_command(desk.clock(), project.id, order, by.label)
            why = {"reason": refusal.message} if refusal else {"command": new.id}
            new.audit_seq = await audit.append(
                session,
                desk.keyring,
                desk.clock,
                by,
                f"{order.target.partition(':')[0]}.{order.verb}",
                audit_target(order.engine, order.target, order.task_id),
                outcome,
                project.slug,
                {"name": order.task_name, "source": order.source, **(told or {}), **why},
                request_id,
            )
            if refusal is None:
                session.add(new)
                await session.flush()
                command = seen(new)
    if command is None:
        desk.live.publish(project.id, ("audit",))
        raise refusal or NotFound()
    publish(desk, project.id, command)
    return command


def audit_target(engine: str, target: str, task_id: str) -> str:
    """What the audit log calls it: `task:ENGINE:ID`, `queue:ENGINE:SOURCE:NAME`."""
    kind, _, rest = target.partition(":")
    if kind == "name":
        rest = rest.rpartition("#")[0] or rest
    return f"{kind}:{engine}:{task_id if kind == 'task' else rest}"


async def _same_command(session: AsyncSession, project_id: int, order: Order) -> CommandSeen | None:
    """The one with the id that was chosen, however long ago it was asked for."""
    if not order.command_id:
        return None
    row = await session.scalar(visible(project_id).where(Command.id == order.command_id))
    if row is None:
        return None
    command = seen(row)
    details = order.details
    if not command.has_payload:  # Its arguments are gone, and are not compared.
        details = msgspec.structs.replace(details, args=b"")
    asked = (order.verb, order.target, details)
    if (command.verb, command.target, command.details) != asked:
        raise Conflict("This was asked for already, and differently. Begin again with a new form.")
    return command


async def _open_command(session: AsyncSession, project_id: int, order: Order) -> CommandSeen | None:
    statement = visible(project_id).where(
        Command.target == order.target,
        Command.verb == order.verb,
        Command.only_agent == order.only_agent,
        Command.state.in_(OPEN_STATES),
    )
    row = await session.scalar(statement)
    return seen(row) if row else None


def new_command(now: int, project_id: int, order: Order, requested_by: str) -> Command:
    """The row of an order that nobody has taken yet; its `audit_seq` is left to the caller."""
    return Command(
        id=order.command_id or new_id(),
        project_id=project_id,
        verb=order.verb,
        target=order.target,
        engine=order.engine,
        source=order.source,
        task_id=order.task_id,
        task_key=order.task_key,
        task_name=order.task_name,
        queue=order.queue,
        attempt=order.attempt,
        seal_id=order.seal_id,
        details=b"" if order.details == NO_DETAILS else wire.encode(order.details),
        has_payload=bool(order.details.args),
        only_agent=order.only_agent,
        operation_id=order.operation_id,
        state=CommandState.PENDING.value,
        code="",
        message="",
        effect="",
        new_task_id="",
        verified=False,
        affected=-1,
        found=b"",
        requested_by=requested_by,
        agent_id="",
        created_us=now,
        deadline_us=now + DEADLINE_US,
    )
