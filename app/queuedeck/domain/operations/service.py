# SPDX-License-Identifier: AGPL-3.0-only
"""Confirms operations and lets operators disarm, pause, resume and stop them. Each act is one
transaction with its audit entry; of two who press at once the second is told who was first.
"""

import re
from collections.abc import Sequence

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk, ResultDesk
from queuedeck.domain.operations import rules
from queuedeck.domain.operations.models import Operation
from queuedeck.domain.operations.queries import OperationSeen, seen, visible
from queuedeck.domain.operations.selection import Ask
from queuedeck.domain.operations.states import OperationState
from queuedeck.domain.operations.withdraw import withdraw_pending
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.errors import Conflict, Invalid, NotFound
from queuedeck.ids import new_id
from queuedeck_agent import wire

_ID = re.compile(r"[0-9a-f]{32}")


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator confirmed: what the preview said, and how to go about it."""

    ask: Ask
    newest_key: int
    expected: int
    expected_acts: int
    rate: int = rules.DEFAULT_RATE
    canary: int = 0
    reason: str = ""
    operation_id: str = ""
    """Chosen by whoever may send the same form twice; empty: a new one."""


async def confirm(
    desk: CommandDesk,
    project: ProjectSeen,
    confirmed: Confirmed,
    by: Actor,
    request_id: str = "",
) -> OperationSeen:
    """Write the operation down; its set is frozen next. The same form twice is one operation.
    Raises `Invalid` or `Conflict`.
    """
    _check(confirmed)
    async with desk.control.write() as session:
        if confirmed.operation_id:
            known = await session.scalar(
                select(Operation).where(Operation.id == confirmed.operation_id)
            )
            if known is not None:
                return _same(known, project.id, confirmed.ask)
        row = _new_row(desk.clock(), project.id, confirmed, by)
        row.audit_seq = await _audit(
            session, desk, by, "confirm", row, project.slug, "requested", request_id,
            _told(confirmed),
        )  # fmt: skip
        session.add(row)
        await session.flush()
        operation = seen(row)
    publish(desk, operation)
    return operation


async def disarm(
    desk: ResultDesk, project: ProjectSeen, operation_id: str, by: Actor, request_id: str = ""
) -> OperationSeen:
    """Before anything has left. Raises `Conflict` when it is too late, with what to do instead."""
    return await _press(
        desk, project, operation_id, by, "disarm", request_id,
        (OperationState.FREEZING, OperationState.ARMED), OperationState.STOPPING,
    )  # fmt: skip


async def pause(
    desk: ResultDesk, project: ProjectSeen, operation_id: str, by: Actor, request_id: str = ""
) -> OperationSeen:
    """Nothing more leaves; what no agent has taken yet comes back. What agents have, they end."""
    return await _press(
        desk, project, operation_id, by, "pause", request_id,
        (OperationState.RUNNING,), OperationState.PAUSED,
    )  # fmt: skip


async def resume(
    desk: ResultDesk, project: ProjectSeen, operation_id: str, by: Actor, request_id: str = ""
) -> OperationSeen:
    """Go on; after first tasks that did not go well that is the operator's own decision."""
    return await _press(
        desk, project, operation_id, by, "resume", request_id,
        (OperationState.PAUSED,), OperationState.RUNNING,
    )  # fmt: skip


async def stop(
    desk: ResultDesk, project: ProjectSeen, operation_id: str, by: Actor, request_id: str = ""
) -> OperationSeen:
    """For good: what agents have, they end; the rest is left as it is."""
    return await _press(
        desk, project, operation_id, by, "stop", request_id,
        (OperationState.RUNNING, OperationState.PAUSED), OperationState.STOPPING,
    )  # fmt: skip


def publish(desk: ResultDesk, operation: OperationSeen, *, with_audit: bool = True) -> None:
    """Tell browsers, after the commit."""
    topics = [f"operation:{operation.id}", "operations", *(["audit"] if with_audit else [])]
    desk.live.publish(operation.project_id, topics)


async def _press(
    desk: ResultDesk,
    project: ProjectSeen,
    operation_id: str,
    by: Actor,
    action: str,
    request_id: str,
    wanted: Sequence[OperationState],
    to: OperationState,
) -> OperationSeen:
    refusal: Conflict | None = None
    async with desk.control.write() as session:
        row = await session.scalar(visible(project.id).where(Operation.id == operation_id))
        if row is None:
            raise NotFound("There is no such operation in this project.")
        if row.state not in wanted:
            refusal = _too_late(row, action)
            told: dict[str, object] = {"reason": refusal.message}
        else:
            told = await _change(session, row, action, to, by, desk.clock())
        outcome = "refused" if refusal else "done"
        await _audit(session, desk, by, action, row, project.slug, outcome, request_id, told)
        operation = seen(row)
    publish(desk, operation)
    if refusal:
        raise refusal
    return operation


async def _change(
    session: AsyncSession, row: Operation, action: str, to: OperationState, by: Actor, now: int
) -> dict[str, object]:
    told: dict[str, object] = {}
    row.state, row.changed_by, row.note = to.value, by.label, ""
    if action == "resume":
        row.paced_us = now
        if row.canary_state == "failed":
            row.canary_state = "passed"
            row.note = "It goes on although too few of the first tasks went well."
            told["although"] = "too few of the first tasks went well"
    if action in ("pause", "stop"):
        told["withdrawn"] = await withdraw_pending(session, row.id, now)
    return told


def _too_late(row: Operation, action: str) -> Conflict:
    who = f", by {row.changed_by.partition(':')[2]}" if row.changed_by else ""
    instead = ""
    if action == "disarm" and row.state == OperationState.RUNNING:
        instead = " It has begun: pause or stop it."
    return Conflict(f"The operation is {row.state}{who}, so it cannot {action} now.{instead}")


def _check(confirmed: Confirmed) -> None:
    if confirmed.operation_id and not _ID.fullmatch(confirmed.operation_id):
        raise Invalid("The id of an operation is 32 hexadecimal digits.")
    if not 1 <= confirmed.rate <= rules.MAX_RATE:
        raise Invalid(f"The rate is between 1 and {rules.MAX_RATE} a second.")
    if not 0 <= confirmed.canary <= rules.MAX_CANARY:
        raise Invalid(f"Between 0 and {rules.MAX_CANARY} tasks can go first.")
    if len(confirmed.reason) > rules.MAX_REASON:
        raise Invalid(f"The reason is longer than {rules.MAX_REASON} characters.")
    if confirmed.expected_acts <= 0:
        raise Conflict("There is no task that this would act on now.")


def _same(known: Operation, project_id: int, ask: Ask) -> OperationSeen:
    if known.project_id != project_id:
        raise Invalid("This id is taken. Open the preview again.")
    if (known.verb, known.question) != (ask.verb, ask.question):
        raise Conflict("This form was sent before, for something else. Open the preview again.")
    return seen(known)


def _new_row(now: int, project_id: int, confirmed: Confirmed, by: Actor) -> Operation:
    ask = confirmed.ask
    no_details = ask.details == wire.CommandDetails()
    return Operation(
        id=confirmed.operation_id or new_id(),
        project_id=project_id,
        verb=ask.verb,
        details=b"" if no_details else wire.encode(ask.details),
        question=ask.question,
        keys=msgspec.msgpack.encode(ask.keys) if ask.keys else b"",
        parent_id=ask.parent_id,
        newest_key=confirmed.newest_key,
        cursor="",
        expected=confirmed.expected,
        expected_acts=confirmed.expected_acts,
        state=OperationState.FREEZING.value,
        rate=confirmed.rate,
        slowed_rate=confirmed.rate,
        paced_us=now,
        canary=confirmed.canary,
        canary_state="trying" if confirmed.canary else "",
        reason=confirmed.reason,
        note="",
        requested_by=by.label,
        changed_by="",
        created_us=now,
    )


def _told(confirmed: Confirmed) -> dict[str, object]:
    ask = confirmed.ask
    return {
        "verb": ask.verb,
        "filter": ask.question,
        "tasks_named": len(ask.keys),
        "failed_of": ask.parent_id,
        "queue": ask.details.queue,
        "priority": ask.details.priority,
        "previewed": confirmed.expected,
        "would_act": confirmed.expected_acts,
        "rate": confirmed.rate,
        "canary": confirmed.canary,
        "reason": confirmed.reason,
    }


async def _audit(
    session: AsyncSession,
    desk: ResultDesk,
    by: Actor,
    action: str,
    row: Operation,
    slug: str,
    outcome: str,
    request_id: str,
    told: dict[str, object],
) -> int:
    return await audit.append(
        session, desk.keyring, desk.clock, by, f"operation.{action}", f"operation:{row.id}",
        outcome, slug, told, request_id,
    )  # fmt: skip


async def set_state(
    session: AsyncSession, operation_id: str, was: OperationState, **values: object
) -> bool:
    """Change an operation that is still where it was; False when somebody was faster."""
    found = await session.scalar(
        update(Operation)
        .where(Operation.id == operation_id, Operation.state == was.value)
        .values(**values)
        .returning(Operation.id)
    )
    return found is not None


BUTTONS = {"disarm": disarm, "pause": pause, "resume": resume, "stop": stop}
