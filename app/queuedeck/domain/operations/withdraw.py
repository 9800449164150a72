# SPDX-License-Identifier: AGPL-3.0-only
"""Takes back what has not left: commands that no agent has claimed, and tasks whose turn never
came.
"""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandState
from queuedeck.domain.operations.models import OperationTask
from queuedeck.domain.operations.states import TaskOutcome

AT_ONCE = 5_000


async def withdraw_pending(session: AsyncSession, operation_id: str, now: int) -> int:
    """Commands of the operation that nobody has taken end, and their tasks wait again. Returns how
    many.
    """
    ended = await session.scalars(
        update(Command)
        .where(Command.operation_id == operation_id, Command.state == CommandState.PENDING)
        .values(
            state=CommandState.EXPIRED,
            code="withdrawn",
            message="Its operation was paused or stopped before an agent had taken it.",
            finished_us=now,
        )
        .returning(Command.task_key)
    )
    keys = list(ended)
    if keys:
        await session.execute(
            update(OperationTask)
            .where(
                OperationTask.operation_id == operation_id,
                OperationTask.task_key.in_(keys),
                OperationTask.state == TaskOutcome.OPEN,
            )
            .values(state=TaskOutcome.WAITING, code="", message="", changed_us=now)
        )
    return len(keys)


async def stop_waiting(session: AsyncSession, operation_id: str, now: int) -> int:
    """A portion of the tasks whose turn never came; returns how many."""
    waiting = (
        select(OperationTask.task_key)
        .where(OperationTask.operation_id == operation_id)
        .where(OperationTask.state == TaskOutcome.WAITING)
        .limit(AT_ONCE)
    )
    keys = await session.scalars(
        update(OperationTask)
        .where(OperationTask.operation_id == operation_id, OperationTask.task_key.in_(waiting))
        .values(state=TaskOutcome.STOPPED, code="", message="", changed_us=now)
        .returning(OperationTask.task_key)
    )
    return len(list(keys))
