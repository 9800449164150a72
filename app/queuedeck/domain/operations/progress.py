# SPDX-License-Identifier: AGPL-3.0-only
"""One step of an operation: all that it needs is in its rows, so it may come after a restart."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.operations import rules
from queuedeck.domain.operations.canary import tries_of
from queuedeck.domain.operations.freeze import freeze_portion
from queuedeck.domain.operations.models import Operation, OperationTask
from queuedeck.domain.operations.queries import OperationSeen, seen, tally_of
from queuedeck.domain.operations.send import open_count, send_batch
from queuedeck.domain.operations.service import publish, set_state
from queuedeck.domain.operations.states import ACTIVE, OperationState, TaskOutcome
from queuedeck.domain.operations.withdraw import stop_waiting
from queuedeck.domain.projects.models import Project

PORTIONS = 10
"""Frozen in one step, each in a transaction of its own: others write in between."""

_ENDS = {
    OperationState.RUNNING: OperationState.FINISHED,
    OperationState.STOPPING: OperationState.STOPPED,
}


async def active_operations(desk: CommandDesk) -> list[tuple[OperationSeen, str]]:
    """Those that the server has to do something for, with their project's slug; oldest first."""
    statement = (
        select(Operation, Project.slug)
        .join(Project, Project.id == Operation.project_id)
        .where(Operation.state.in_(ACTIVE))
        .order_by(Operation.created_us)
    )

    async def read() -> list[tuple[OperationSeen, str]]:
        async with desk.control.read() as session:
            return [(seen(row), slug) for row, slug in await session.execute(statement)]

    # Asked four times a second, and mostly nothing has changed.
    return await desk.control.remembered("active operations", read) or []


async def step(
    desk: CommandDesk, operation: OperationSeen, slug: str, *, settled: bool = True
) -> None:
    """Whatever is due now. Short: other operations wait for it. `settled`: see `send_batch`."""
    match operation.state:
        case OperationState.FREEZING:
            for _ in range(PORTIONS):
                if not await freeze_portion(desk, operation, slug):
                    break
        case OperationState.ARMED:
            await _begin(desk, operation)
        case OperationState.RUNNING:
            await _run(desk, operation, slug, settled)
        case OperationState.STOPPING:
            await _stop(desk, operation, slug)
        case _:
            pass


async def _begin(desk: CommandDesk, operation: OperationSeen) -> None:
    now = desk.clock()
    if operation.armed_us is None or now < operation.armed_us:
        return
    async with desk.control.write() as session:
        changed = await set_state(
            session, operation.id, OperationState.ARMED,
            state=OperationState.RUNNING.value, started_us=now, paced_us=now,
        )  # fmt: skip
    if changed:
        publish(desk, operation, with_audit=False)


async def _run(desk: CommandDesk, operation: OperationSeen, slug: str, settled: bool) -> None:
    most = rules.MAX_OPEN
    if operation.canary_state == "trying":
        tries = await tries_of(desk, operation)
        most = operation.canary - tries.good - tries.bad - tries.undecided
        if most <= 0:
            await _look_at_canary(desk, operation, tries, slug)
            return
    if await send_batch(desk, operation, most, settled=settled):
        publish(desk, operation, with_audit=False)
    elif await open_count(desk, operation.id) == 0:
        await _end(desk, operation, slug)


async def _look_at_canary(
    desk: CommandDesk, operation: OperationSeen, tries: rules.Tries, slug: str
) -> None:
    """All that go first have gone."""
    verdict = rules.canary_verdict(tries)
    if not verdict:
        return
    told = f"{tries.good} of the first {operation.canary} went well"
    values: dict[str, object] = {"canary_state": verdict, "note": f"{told}, so it went on."}
    if verdict == "failed":
        values["state"] = OperationState.PAUSED.value
        values["note"] = (
            f"Only {told}; at least {rules.CANARY_SHARE:.0%} are needed. Look at them, then resume "
            "or stop."
        )
        values["changed_by"] = SYSTEM.label
    async with desk.control.write() as session:
        if not await set_state(session, operation.id, OperationState.RUNNING, **values):
            return
        if verdict == "failed":
            await _audit(session, desk, operation, slug, "pause", "done", {"reason": told})
    publish(desk, operation)


async def _stop(desk: CommandDesk, operation: OperationSeen, slug: str) -> None:
    async with desk.control.write() as session:
        stopped = await stop_waiting(session, operation.id, desk.clock())
    if stopped:
        publish(desk, operation, with_audit=False)
    elif await open_count(desk, operation.id) == 0:
        await _end(desk, operation, slug)


async def _end(desk: CommandDesk, operation: OperationSeen, slug: str) -> None:
    """When nothing waits and nothing is on its way."""
    async with desk.control.write() as session:
        if await _is_any_left(session, operation.id):
            return
        end = _ENDS[operation.state]
        if operation.started_us is None:
            end = OperationState.DISARMED
        changed = await set_state(
            session, operation.id, operation.state, state=end.value, finished_us=desk.clock()
        )
        if not changed:
            return
        tally = await tally_of(session, operation.id)
        told: dict[str, object] = {name: getattr(tally, name) for name in tally.__struct_fields__}
        told["total"] = tally.total
        await _audit(session, desk, operation, slug, "end", end.value, told)
    publish(desk, operation)


async def _is_any_left(session: AsyncSession, operation_id: str) -> bool:
    left = select(OperationTask.task_key).where(
        OperationTask.operation_id == operation_id,
        OperationTask.state.in_((TaskOutcome.WAITING, TaskOutcome.OPEN)),
    )
    return await session.scalar(left.limit(1)) is not None


async def _audit(
    session: AsyncSession,
    desk: CommandDesk,
    operation: OperationSeen,
    slug: str,
    action: str,
    outcome: str,
    told: dict[str, object],
) -> None:
    await audit.append(
        session, desk.keyring, desk.clock, SYSTEM, f"operation.{action}",
        f"operation:{operation.id}", outcome, slug, told,
    )  # fmt: skip
