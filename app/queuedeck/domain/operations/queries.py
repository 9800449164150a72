# SPDX-License-Identifier: AGPL-3.0-only
"""Reads operations and what came of their tasks."""

from collections.abc import AsyncIterator

import msgspec
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.db.engine import ControlDb
from queuedeck.domain.operations.models import Operation, OperationTask
from queuedeck.domain.operations.states import ACTIVE, ENDED, OperationState, TaskOutcome
from queuedeck.errors import NotFound
from queuedeck_agent import wire

LISTED = 50
EXPORTED_AT_ONCE = 2_000
GROUPS = 500


class OperationSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as everything outside this package sees it."""

    id: str
    project_id: int
    verb: str
    details: wire.CommandDetails
    question: str
    parent_id: str
    newest_key: int
    expected: int
    expected_acts: int
    state: OperationState
    rate: int
    slowed_rate: int
    paced_us: int
    canary: int
    canary_state: str
    reason: str
    note: str
    requested_by: str
    changed_by: str
    audit_seq: int
    created_us: int
    armed_us: int | None
    started_us: int | None
    finished_us: int | None

    @property
    def is_over(self) -> bool:
        return self.state in ENDED


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks of an operation are where. They always add up to `total`."""

    waiting: int = 0
    open: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    stopped: int = 0

    @property
    def total(self) -> int:
        return sum(msgspec.structs.astuple(self))

    @property
    def settled(self) -> int:
        return self.total - self.waiting - self.open


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of an operation that are alike."""

    engine: str
    source: str
    queue: str
    was: str
    state: str
    code: str
    message: str
    """One of theirs; the code counts."""
    count: int


class TaskSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One task of an operation."""

    task_key: int
    engine: str
    task_id: str
    task_name: str
    queue: str
    was: str
    is_canary: bool
    state: str
    code: str
    message: str
    new_task_id: str
    command_id: str
    changed_us: int


def visible(project_id: int) -> Select[Operation]:
    """Every statement on operations of a project starts here."""
    return select(Operation).where(Operation.project_id == project_id)


async def find_operation(db: ControlDb, project_id: int, operation_id: str) -> OperationSeen:
    """One operation. Raises `NotFound`, also for another project's."""
    async with db.read() as session:
        row = await session.scalar(visible(project_id).where(Operation.id == operation_id))
    if row is None:
        raise NotFound("There is no such operation in this project.")
    return seen(row)


async def list_operations(db: ControlDb, project_id: int) -> list[tuple[OperationSeen, Tally]]:
    """The newest ones, with how far they are."""
    statement = visible(project_id).order_by(Operation.created_us.desc()).limit(LISTED)
    async with db.read() as session:
        rows = [seen(row) for row in await session.scalars(statement)]
        counts = await session.execute(
            select(OperationTask.operation_id, OperationTask.state, func.count())
            .where(OperationTask.operation_id.in_([row.id for row in rows]))
            .group_by(OperationTask.operation_id, OperationTask.state)
        )
        tallies: dict[str, dict[str, int]] = {}
        for operation_id, state, count in counts:
            tallies.setdefault(operation_id, {})[state] = count
    return [(row, Tally(**tallies.get(row.id, {}))) for row in rows]


async def running_now(db: ControlDb, project_id: int) -> list[OperationSeen]:
    """Those that act, or are about to."""
    states = [*ACTIVE, OperationState.PAUSED]
    statement = visible(project_id).where(Operation.state.in_(states))
    async with db.read() as session:
        return [seen(row) for row in await session.scalars(statement)]


async def tally_of(session: AsyncSession, operation_id: str) -> Tally:
    """Counted from the rows, always."""
    counts = await session.execute(
        select(OperationTask.state, func.count())
        .where(OperationTask.operation_id == operation_id)
        .group_by(OperationTask.state)
    )
    return Tally(**{row[0]: row[1] for row in counts})


async def read_tally(db: ControlDb, operation_id: str) -> Tally:
    async with db.read() as session:
        return await tally_of(session, operation_id)


async def read_groups(db: ControlDb, operation_id: str) -> list[Group]:
    """What came of the tasks, alike ones together, the largest first."""
    alike = (
        OperationTask.engine,
        OperationTask.source,
        OperationTask.queue,
        OperationTask.was,
        OperationTask.state,
        OperationTask.code,
    )
    message, count = func.max(OperationTask.message), func.count()
    statement = (
        select(*alike, message, count)
        .where(OperationTask.operation_id == operation_id)
        .group_by(*alike)
        .order_by(count.desc())
        .limit(GROUPS)
    )
    async with db.read() as session:
        rows = await session.execute(statement)
        return [
            Group(engine=e, source=f, queue=q, was=w, state=s, code=c, message=m, count=n)
            for e, f, q, w, s, c, m, n in rows
        ]


async def list_outcomes(
    db: ControlDb, operation_id: str, outcome: TaskOutcome | None, limit: int, after: int = 0
) -> list[TaskSeen]:
    """A portion of the tasks in the order in which their turn comes, behind the key `after`."""
    async with db.read() as session:
        return await _read_outcomes(session, operation_id, outcome, limit, after)


async def every_outcome(db: ControlDb, operation_id: str) -> AsyncIterator[list[TaskSeen]]:
    """All tasks, portion by portion: no reader is held while somebody slowly takes them."""
    after = 0
    while found := await list_outcomes(db, operation_id, None, EXPORTED_AT_ONCE, after):
        yield found
        after = found[-1].task_key


async def _read_outcomes(
    session: AsyncSession, operation_id: str, outcome: TaskOutcome | None, limit: int, after: int
) -> list[TaskSeen]:
    where: list[ColumnElement[bool]] = [
        OperationTask.operation_id == operation_id,
        OperationTask.task_key > after,
    ]
    if outcome is not None:
        where.append(OperationTask.state == outcome.value)
    statement = select(OperationTask).where(*where).order_by(OperationTask.task_key).limit(limit)
    return [
        msgspec.convert(row, TaskSeen, from_attributes=True)
        for row in await session.scalars(statement)
    ]


def seen(row: Operation) -> OperationSeen:
    return OperationSeen(
        **{name: getattr(row, name) for name in _SAME},
        state=OperationState(row.state),
        details=_details(row.details) if row.details else wire.CommandDetails(),
    )


_SAME = tuple(set(OperationSeen.__struct_fields__) - {"state", "details"})
_details = msgspec.msgpack.Decoder(wire.CommandDetails).decode
