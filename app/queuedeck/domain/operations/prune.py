# SPDX-License-Identifier: AGPL-3.0-only
"""Deletes operations that ended before the oldest tasks that are kept: their tasks first, a slice
in a transaction. The audit log keeps who asked for them and how they ended.
"""

from sqlalchemy import delete, select

from queuedeck.clock import DAY_US
from queuedeck.db.engine import ControlDb
from queuedeck.domain.operations.models import Operation, OperationTask
from queuedeck.history.retention import Kept

SLICE = 1_000


async def delete_operations(db: ControlDb, kept: Kept, now_us: int) -> int:
    """A slice of one operation's tasks, with the operation itself when these were the last.
    Returns how many rows went.
    """
    old = (
        select(Operation.id)
        .where(Operation.project_id == kept.project_id)
        .where(Operation.finished_us < now_us - kept.task_days * DAY_US)
        .order_by(Operation.created_us)
        .limit(1)
    )
    async with db.read() as session:
        operation = await session.scalar(old)
    if operation is None:
        return 0
    mine = OperationTask.operation_id == operation
    some = select(OperationTask.task_key).where(mine).order_by(OperationTask.task_key).limit(SLICE)
    async with db.write() as session:
        keys = list(await session.scalars(some))
        await session.execute(delete(OperationTask).where(mine, OperationTask.task_key.in_(keys)))
        if len(keys) < SLICE:
            await session.execute(delete(Operation).where(Operation.id == operation))
    return len(keys) + (len(keys) < SLICE)
