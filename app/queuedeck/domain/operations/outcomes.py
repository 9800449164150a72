# SPDX-License-Identifier: AGPL-3.0-only
"""What came of commands, written to the tasks of their operations in the same transaction."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Integer, bindparam, case, cast, exists, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.domain.commands.models import Command
from queuedeck.domain.operations.models import Operation, OperationTask
from queuedeck.domain.operations.rules import SLOW_HOLD_US
from queuedeck.domain.operations.states import ENDED, TaskOutcome

RATE = "rate"
"""The host carries out only so many commands a minute: nothing was done, and it is asked again."""
UNVERIFIED = "unverified"
"""The engine was asked; whether it took effect shows later."""
_OUTCOMES = {
    "done": TaskOutcome.DONE,
    "failed": TaskOutcome.FAILED,
    "expired": TaskOutcome.FAILED,
    "unknown": TaskOutcome.UNKNOWN,
}

_table = OperationTask.__table__
_UPDATE = (
    update(OperationTask)
    .where(
        _table.c.operation_id == bindparam("of"),
        _table.c.task_key == bindparam("task"),
        # A later command for the same task is not touched by a late answer to an earlier one.
        _table.c.command_id == bindparam("command"),
    )
    .values({name: bindparam(f"to_{name}") for name in ("state", "code", "message", "changed_us")})
    .values({"new_task_id": bindparam("to_new_task_id")})
)
_AGAIN = (
    update(OperationTask)
    .where(_table.c.operation_id == bindparam("of"), _table.c.command_id == bindparam("command"))
    .where(_table.c.task_key == bindparam("task"), _table.c.state == TaskOutcome.FAILED)
    # An operation that has ended has nothing that waits: a late refusal stays a failure there.
    .where(
        exists().where(
            Operation.id == bindparam("of"), *(Operation.state != end.value for end in ENDED)
        )
    )
    .values(state=TaskOutcome.WAITING)
)


async def copy_outcomes(session: AsyncSession, commands: Sequence[Command], now_us: int) -> None:
    """Of commands that have just ended; those of no operation are passed over. The same outcome may
    be written twice.
    """
    values = [_values(command, now_us) for command in commands if command.operation_id]
    if not values:
        return
    connection = await session.connection()
    await connection.execute(_UPDATE, values)
    if again := [one for one in values if one["to_code"] == RATE]:
        keys = ("of", "task", "command")
        await connection.execute(_AGAIN, [{key: one[key] for key in keys} for one in again])
    for operation_id, message in _refused_for_rate(commands):
        await _slow_down(session, operation_id, message, now_us)


def _refused_for_rate(commands: Iterable[Command]) -> set[tuple[str, str]]:
    return {
        (command.operation_id, command.message)
        for command in commands
        if command.operation_id and command.code == RATE
    }


async def _slow_down(session: AsyncSession, operation_id: str, message: str, now_us: int) -> None:
    """Half the rate, after a rest; once for all that a host refused in the same burst."""
    half = case((Operation.slowed_rate > 1, Operation.slowed_rate / 2), else_=1)
    await session.execute(
        update(Operation)
        .where(Operation.id == operation_id, Operation.paced_us <= now_us)
        .values(
            slowed_rate=cast(half, Integer),
            paced_us=now_us + SLOW_HOLD_US,
            note=f"Slowed down. {message}",
        )
    )


def _values(command: Command, now_us: int) -> dict[str, object]:
    unverified = command.state == "done" and not command.verified
    return {
        "of": command.operation_id,
        "task": command.task_key,
        "command": command.id,
        "to_state": _OUTCOMES[command.state].value,
        "to_code": UNVERIFIED if unverified else command.code,
        "to_message": command.message or command.effect,
        "to_new_task_id": command.new_task_id,
        "to_changed_us": now_us,
    }
