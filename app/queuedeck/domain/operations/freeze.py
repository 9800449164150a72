# SPDX-License-Identifier: AGPL-3.0-only
"""Writes the set of an operation down, portion by portion. Between two portions others write, and
the server may end: the cursor is in the same transaction as the rows.
"""

import msgspec
from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.operations import rules
from queuedeck.domain.operations.models import Operation, OperationTask
from queuedeck.domain.operations.queries import OperationSeen, seen, tally_of
from queuedeck.domain.operations.selection import Ask, Portion, read_portion
from queuedeck.domain.operations.service import publish, set_state
from queuedeck.domain.operations.states import OperationState, TaskOutcome
from queuedeck.history.tasks import SelectedTask


async def freeze_portion(desk: CommandDesk, operation: OperationSeen, slug: str) -> bool:
    """Take the next tasks into the set, and arm it after the last. False: that was all."""
    row = await _row(desk, operation.id)
    if row.state != OperationState.FREEZING:
        return False
    ask = ask_of(row)
    newest = row.newest_key or None
    portion = await read_portion(desk, row.project_id, ask, row.cursor, newest)
    async with desk.control.write() as session:
        if not await _take(session, desk, row, ask, portion):
            return False
        if not portion.cursor:
            await _record(session, desk, row, slug)
    publish(desk, operation, with_audit=not portion.cursor)
    return bool(portion.cursor)


def ask_of(row: Operation) -> Ask:
    """What was asked for, as it was written down."""
    keys = msgspec.msgpack.decode(row.keys, type=tuple[int, ...]) if row.keys else ()
    return Ask(
        verb=row.verb,
        details=seen(row).details,
        question=row.question,
        keys=keys,
        parent_id=row.parent_id,
    )


async def _row(desk: CommandDesk, operation_id: str) -> Operation:
    async with desk.control.read() as session:
        return await session.get_one(Operation, operation_id)


async def _take(
    session: AsyncSession, desk: CommandDesk, row: Operation, ask: Ask, portion: Portion
) -> bool:
    """False when somebody disarmed it meanwhile."""
    now = desk.clock()
    values: dict[str, object] = {"cursor": portion.cursor}
    if not portion.cursor:
        values |= {"state": OperationState.ARMED.value, "armed_us": now + rules.ARMED_US}
    if not await set_state(session, row.id, OperationState.FREEZING, **values):
        return False
    if portion.tasks:
        connection = await session.connection()
        rows = [_values(row.id, ask, task, now) for task in portion.tasks]
        await connection.execute(_insert(connection.dialect.name), rows)
    return True


def _insert(dialect: str) -> Insert:
    """A task that moved on in the walk and is met again is the same row."""
    if dialect == "postgresql":
        return postgresql.insert(OperationTask).on_conflict_do_nothing()
    return sqlite.insert(OperationTask).on_conflict_do_nothing()


def _values(operation_id: str, ask: Ask, task: SelectedTask, now: int) -> dict[str, object]:
    skip = rules.judge(ask.verb, task, ask.details)
    is_skipped = isinstance(skip, rules.Skip)
    return {
        "operation_id": operation_id,
        "task_key": task.key,
        "engine": task.engine,
        "source": task.source,
        "task_id": task.task_id,
        "task_name": task.name,
        "queue": task.queue,
        "was": task.state.value,
        "is_canary": False,
        "state": (TaskOutcome.SKIPPED if is_skipped else TaskOutcome.WAITING).value,
        "code": skip.code if is_skipped else "",
        "message": skip.message if is_skipped else "",
        "new_task_id": "",
        "command_id": "",
        "changed_us": now,
    }


async def _record(session: AsyncSession, desk: CommandDesk, row: Operation, slug: str) -> None:
    tally = await tally_of(session, row.id)
    await audit.append(
        session, desk.keyring, desk.clock, SYSTEM, "operation.arm", f"operation:{row.id}", "done",
        slug, {"frozen": tally.total, "waiting": tally.waiting, "skipped": tally.skipped},
    )  # fmt: skip
