# SPDX-License-Identifier: AGPL-3.0-only
"""Asks for commands: an operator's action becomes a row of the outbox and an audit entry, in one
transaction. What was refused is in the audit log too. Sending is in delivery.py.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import MINUTE_US
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.desk import CommandDesk, ResultDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import OPEN_STATES, CommandSeen, CommandState, seen, visible
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.errors import NotFound, QueuedeckError
from queuedeck.history.records import TaskDetail
from queuedeck.ids import new_id

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
    request_id: str = "",
) -> CommandSeen:
    """Ask an agent to run the task again with its original arguments.

    The newest that the id has named, or the one with this key. A second request while one is open
    returns that one. Raises `NotFound`, `Conflict` or `NotSupported` with what to do.
    """
    task = await _find_task(desk, project, engine, task_id, key)
    refusal = rules.retry_refusal(desk.registry, project.id, task)
    command = await _request(desk, project, task, rules.RETRY, by, refusal, request_id)
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
    task = await _find_task(desk, project, engine, task_id, key)
    refusal = rules.cancel_refusal(desk.registry, project.id, task)
    verb = rules.cancel_verb(task)
    command = await _request(desk, project, task, verb, by, refusal, request_id)
    await desk.history.request_cancel(project.id, task.row.key)
    desk.commands_changed(project.id)
    return command


def publish(desk: ResultDesk, project_id: int, command: CommandSeen) -> None:
    """Tell browsers, after the commit."""
    task = f"task:{command.engine}:{command.task_id}"
    desk.live.publish(project_id, (f"command:{command.id}", task, "tasks", "audit"))


async def _find_task(
    desk: CommandDesk, project: ProjectSeen, engine: str, task_id: str, key: int | None
) -> TaskDetail:
    task = await desk.history.find_task(project.id, engine, task_id, key=key)
    if task is None:
        raise NotFound("There is no such task in this project.")
    return task


async def _request(
    desk: CommandDesk,
    project: ProjectSeen,
    task: TaskDetail,
    verb: str,
    by: Actor,
    refusal: QueuedeckError | None,
    request_id: str,
) -> CommandSeen:
    async with desk.control.write() as session:
        command = await _open_command(session, project.id, task.row.key, verb)
        if command is None:
            outcome = "refused" if refusal else "requested"
            new = _new_command(desk, project, task, verb, by)
            why = {"reason": refusal.message} if refusal else {"command": new.id}
            new.audit_seq = await audit.append(
                session,
                desk.keyring,
                desk.clock,
                by,
                f"task.{verb}",
                f"task:{task.row.engine}:{task.row.task_id}",
                outcome,
                project.slug,
                {"name": task.row.name, "source": task.row.source, **why},
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


async def _open_command(
    session: AsyncSession, project_id: int, task_key: int, verb: str
) -> CommandSeen | None:
    statement = visible(project_id).where(
        Command.task_key == task_key, Command.verb == verb, Command.state.in_(OPEN_STATES)
    )
    row = await session.scalar(statement)
    return seen(row) if row else None


def _new_command(
    desk: CommandDesk, project: ProjectSeen, task: TaskDetail, verb: str, by: Actor
) -> Command:
    now, row = desk.clock(), task.row
    return Command(
        id=new_id(),
        project_id=project.id,
        verb=verb,
        engine=row.engine,
        source=row.source,
        task_id=row.task_id,
        task_key=row.key,
        task_name=row.name,
        queue=row.queue,
        attempt=row.attempt,
        seal_id=task.seal_id if verb == rules.RETRY else "",
        state=CommandState.PENDING.value,
        code="",
        message="",
        effect="",
        new_task_id="",
        verified=False,
        requested_by=by.label,
        agent_id="",
        created_us=now,
        deadline_us=now + DEADLINE_US,
    )
