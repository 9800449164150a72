# SPDX-License-Identifier: AGPL-3.0-only
"""Turns tasks that wait into commands: a small batch at a time, at the chosen rate."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import SECOND_US
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import OPEN_STATES, CommandState
from queuedeck.domain.commands.rules import WITH_SEALED_CALL
from queuedeck.domain.commands.service import Order, new_command
from queuedeck.domain.operations import rules
from queuedeck.domain.operations.ability import Abilities
from queuedeck.domain.operations.models import OperationTask
from queuedeck.domain.operations.preview import SEAL_ID_CHARS
from queuedeck.domain.operations.queries import OperationSeen
from queuedeck.domain.operations.service import set_state
from queuedeck.domain.operations.states import OperationState, TaskOutcome
from queuedeck.history.tasks import SelectedTask

LOOK_AHEAD = 1_000
"""So many are looked at once when all of a batch were passed over."""
ROUNDS = 4

_table = OperationTask.__table__
_ONE = update(OperationTask).where(
    _table.c.operation_id == bindparam("of"), _table.c.task_key == bindparam("task")
)
_OPEN = _ONE.values(
    state=TaskOutcome.OPEN.value,
    code="",
    message="",
    command_id=bindparam("to_command_id"),
    is_canary=bindparam("to_is_canary"),
    changed_us=bindparam("to_changed_us"),
)
_SKIP = _ONE.values(
    state=TaskOutcome.SKIPPED.value,
    code=bindparam("to_code"),
    message=bindparam("to_message"),
    changed_us=bindparam("to_changed_us"),
)
_ACTS = {"cancel": ("cancel", "terminate")}


class _Act(msgspec.Struct, frozen=True):
    verb: str
    task: SelectedTask
    seal_id: str


_Verdict = _Act | rules.Skip


async def open_count(desk: CommandDesk, operation_id: str) -> int:
    """How many of its commands are on their way."""
    async with desk.control.read() as session:
        return await _count(session, operation_id, (TaskOutcome.OPEN,))


async def send_batch(
    desk: CommandDesk, operation: OperationSeen, most: int, *, settled: bool
) -> int:
    """Write commands for the next tasks that an agent is there for: as many as the rate lets, and
    `most` at most. `settled`: agents have had the time to come back after a start of the server,
    so those that are not known do not exist. Returns how many tasks have left the line, in one way
    or the other.
    """
    abilities = Abilities(desk.registry, operation.project_id)
    turn = rules.turn(
        desk.clock(), operation.paced_us, operation.slowed_rate,
        await open_count(desk, operation.id),
    )  # fmt: skip
    most = min(most, turn.allowed)
    moved, size = 0, most
    for _ in range(ROUNDS):
        keys = await _next(desk, operation, abilities, size, settled) if size > 0 else []
        if not keys:
            break
        verdicts = await _judge(desk, operation, abilities, keys)
        sent, passed = await _write(desk, operation, verdicts, most, turn)
        moved += sent + passed
        if sent:
            break
        size = LOOK_AHEAD
    return moved


async def _count(session: AsyncSession, operation_id: str, states: Sequence[TaskOutcome]) -> int:
    count = await session.scalar(
        select(func.count())
        .select_from(OperationTask)
        .where(OperationTask.operation_id == operation_id, OperationTask.state.in_(states))
    )
    return count or 0


async def _next(
    desk: CommandDesk, operation: OperationSeen, abilities: Abilities, size: int, settled: bool
) -> list[int]:
    """Tasks of sources whose agents are there, or will not come: one that is away holds up only
    its own.
    """
    verbs = _ACTS.get(operation.verb, (operation.verb,))
    source = OperationTask.source
    where = source.in_(abilities.present_sources(verbs))
    if settled:
        where = source.not_in(abilities.awaited_sources(verbs))
    statement = (
        select(OperationTask.task_key)
        .where(OperationTask.operation_id == operation.id)
        .where(OperationTask.state == TaskOutcome.WAITING, where)
        .order_by(OperationTask.task_key)
        .limit(size)
    )
    async with desk.control.read() as session:
        return list(await session.scalars(statement))


async def _judge(
    desk: CommandDesk, operation: OperationSeen, abilities: Abilities, keys: Sequence[int]
) -> dict[int, _Verdict]:
    """Of each task as it is now, in a fixed number of reads of the history."""
    tasks = await desk.history.read_selected(operation.project_id, keys)
    calls: Mapping[int, bytes] = {}
    if operation.verb in WITH_SEALED_CALL:
        calls = await desk.history.sealed_calls(operation.project_id, keys)
    return {
        key: _verdict(operation, abilities, tasks.get(key), calls.get(key, b"")) for key in keys
    }


def _verdict(
    operation: OperationSeen, abilities: Abilities, task: SelectedTask | None, call: bytes
) -> _Verdict:
    if task is None:
        return rules.GONE
    verb = rules.judge(operation.verb, task, operation.details)
    if isinstance(verb, rules.Skip):
        return verb
    if not abilities.is_present(task.source, verb):
        refusal = abilities.refusal(task.source, verb)
        return refusal or rules.Skip("policy", f"No connected agent would {verb} it.")
    if verb not in WITH_SEALED_CALL:
        return _Act(verb, task, "")
    seal_id = call[:SEAL_ID_CHARS].decode("ascii", "replace")
    if abilities.holds(task.source, verb, seal_id):
        return _Act(verb, task, seal_id)
    return rules.Skip("key", f"No connected agent holds the key {seal_id} that it is sealed with.")


async def _write(
    desk: CommandDesk,
    operation: OperationSeen,
    verdicts: dict[int, _Verdict],
    most: int,
    turn: rules.Turn,
) -> tuple[int, int]:
    """(sent, passed over). Nothing when the operation was paused or stopped meanwhile."""
    now = desk.clock()
    async with desk.control.write() as session:
        asked = await _asked(session, operation, list(verdicts))
        acts = {key: act for key, act in verdicts.items() if isinstance(act, _Act)}
        chosen = [key for key in acts if key not in asked][:most]
        skips = {key: skip for key, skip in verdicts.items() if isinstance(skip, rules.Skip)}
        skips |= asked
        if not await _pace(session, operation, turn, len(chosen)):
            return 0, 0
        commands = [_command(now, operation, acts[key]) for key in chosen]
        session.add_all(commands)
        await session.flush()
        connection = await session.connection()
        if commands:
            rows = [_opened(command, operation, now) for command in commands]
            await connection.execute(_OPEN, rows)
        if skips:
            rows = [_skipped(operation, key, skip, now) for key, skip in skips.items()]
            await connection.execute(_SKIP, rows)
    await _intend(desk, operation, [acts[key] for key in chosen])
    if chosen:
        desk.commands_changed(operation.project_id)
    return len(chosen), len(skips)


async def _pace(
    session: AsyncSession, operation: OperationSeen, turn: rules.Turn, sent: int
) -> bool:
    values: dict[str, object] = {"note": operation.note}
    if sent:
        mark = turn.used(sent)
        values["paced_us"] = mark
        slowed = operation.slowed_rate
        if slowed < operation.rate and mark // SECOND_US > operation.paced_us // SECOND_US:
            values["slowed_rate"] = slowed + 1
    return await set_state(session, operation.id, OperationState.RUNNING, **values)


async def _asked(
    session: AsyncSession, operation: OperationSeen, keys: Sequence[int]
) -> dict[int, rules.Skip]:
    """Tasks for which somebody else has asked the same since: one act is enough."""
    verbs = _ACTS.get(operation.verb, (operation.verb,))
    done = (Command.state == CommandState.DONE) & (Command.created_us >= operation.created_us)
    rows = await session.execute(
        select(Command.task_key, Command.requested_by)
        .where(Command.project_id == operation.project_id, Command.task_key.in_(keys))
        .where(Command.verb.in_(verbs), Command.state.in_(OPEN_STATES) | done)
    )
    return {
        key: rules.Skip("asked", f"It was asked for already, by {by.partition(':')[2]}.")
        for key, by in rows
    }


def _command(now: int, operation: OperationSeen, act: _Act) -> Command:
    task = act.task
    order = Order(
        verb=act.verb,
        engine=task.engine,
        source=task.source,
        target=f"task:{task.key}",
        task_id=task.task_id,
        task_key=task.key,
        task_name=task.name,
        queue=task.queue,
        attempt=task.attempt,
        seal_id=act.seal_id,
        details=operation.details,
        operation_id=operation.id,
    )
    command = new_command(now, operation.project_id, order, operation.requested_by)
    command.audit_seq = operation.audit_seq
    return command


def _opened(command: Command, operation: OperationSeen, now: int) -> dict[str, object]:
    return {
        "of": operation.id,
        "task": command.task_key,
        "to_command_id": command.id,
        "to_is_canary": operation.canary_state == "trying",
        "to_changed_us": now,
    }


def _skipped(operation: OperationSeen, key: int, skip: rules.Skip, now: int) -> dict[str, object]:
    return {
        "of": operation.id,
        "task": key,
        "to_code": skip.code,
        "to_message": skip.message,
        "to_changed_us": now,
    }


async def _intend(desk: CommandDesk, operation: OperationSeen, acts: Sequence[_Act]) -> None:
    """Agents that come later hear of tasks that are not to run any more."""
    keys = [act.task.key for act in acts if act.verb in ("cancel", "terminate")]
    if keys:
        await desk.history.request_cancels(operation.project_id, keys)
