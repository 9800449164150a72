# SPDX-License-Identifier: AGPL-3.0-only
"""Pauses: an operator's wish, kept here and carried out by a command for each worker's agent.

The wish and its audit entry are one transaction; orders.py then asks whoever must be asked, at once
and in a loop, so that workers which come later are asked too. Who that is, is in told.py.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.actor import SYSTEM, Actor
from queuedeck.domain.audit import service as audit
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.projects.models import Project
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.domain.queues import told as rules
from queuedeck.domain.queues.models import Pause
from queuedeck.domain.queues.orders import TOPICS, carry_out, told_of, unsettled, visible
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.domain.queues.told import PausedWorker, Told, Word
from queuedeck.errors import Conflict, Invalid, NotSupported, QueuedeckError

MAX_REASON = 500
MIN_S = 60
MAX_S = 30 * 86_400


class PauseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A pause that holds, and how far it has come. Times are microseconds, UTC."""

    id: int
    source: str
    engine: str
    queue: str
    reason: str
    requested_by: str
    audit_seq: int
    since_us: int
    until_us: int | None
    workers: list[PausedWorker]
    """Those that are connected now."""

    @property
    def confirmed(self) -> int:
        return sum(one.word is Word.CONFIRMED for one in self.workers)

    @property
    def is_waiting(self) -> bool:
        """Whether some worker may still confirm it."""
        return not self.workers or any(one.word is Word.WAITING for one in self.workers)


async def pause_queue(
    desk: CommandDesk,
    project: ProjectSeen,
    queue: QueueRef,
    by: Actor,
    *,
    reason: str,
    for_s: int = 0,
    request_id: str = "",
) -> PauseSeen:
    """Wish that no worker takes from the queue; `for_s`: it goes on by itself after so long.

    Raises `Invalid`, `Conflict` when it is paused already, or `NotSupported` with the reason.
    """
    reason = _checked(reason, for_s)
    able, why = desk.registry.can(project.id, queue.source, rules.PAUSE)
    refusal: QueuedeckError | None = None if able else NotSupported(why)
    now = desk.clock()
    until = now + for_s * SECOND_US if for_s else None
    async with desk.control.write() as session:
        held = await session.scalar(_open(project.id, queue))
        if held is not None:
            refusal = Conflict(
                f"The queue is paused already, by {held.requested_by.partition(':')[2]}: "
                f"{held.reason}. Resume it before you pause it anew."
            )
        told: dict[str, object] = {"reason": reason, "until_us": until or 0}
        seq = await _write_down(
            session, desk, by, project.slug, queue, rules.PAUSE, told, refusal, request_id
        )
        row = Pause(
            project_id=project.id,
            source=queue.source,
            engine=queue.engine,
            queue=queue.name,
            reason=reason,
            requested_by=by.label,
            audit_seq=seq,
            since_us=now,
            until_us=until,
        )
        if refusal is None:
            session.add(row)
    await _tell(desk, project.id, refusal)
    return await _shown(desk, project.id, row, await told_of(desk, project.id, [row]))


async def resume_queue(
    desk: CommandDesk, project: ProjectSeen, queue: QueueRef, by: Actor, *, request_id: str = ""
) -> None:
    """End the pause. Raises `Conflict` when the queue is not paused."""
    refusal: QueuedeckError | None = None
    async with desk.control.write() as session:
        row = await session.scalar(_open(project.id, queue))
        if row is None:
            refusal = Conflict("The queue is not paused here, so there is nothing to resume.")
        seq = await _write_down(
            session, desk, by, project.slug, queue, rules.RESUME, {}, refusal, request_id
        )
        if row is not None:
            row.ended_us, row.ended_by, row.end_audit_seq = desk.clock(), by.label, seq
    await _tell(desk, project.id, refusal)


async def pauses_of(desk: CommandDesk, project_id: int) -> list[PauseSeen]:
    """The pauses of a project that hold, the newest first."""
    rows = [row for row in await unsettled(desk, project_id) if row.ended_us is None]
    if not rows:
        return []
    rows.reverse()
    told = await told_of(desk, project_id, rows)
    return [await _shown(desk, project_id, row, told) for row in rows]


async def end_due(desk: CommandDesk) -> int:
    """End the pauses whose time is over, as the server. Returns how many."""
    now = desk.clock()
    first = await desk.control.remembered("first end of a pause", lambda: _first_end(desk))
    if not first or first > now:
        return 0
    due = select(Pause).where(Pause.ended_us.is_(None), Pause.until_us <= now)
    async with desk.control.write() as session:
        slug = select(Project.slug).where(Project.id == Pause.project_id).scalar_subquery()
        found = list(await session.execute(due.add_columns(slug)))
        for row, project in found:
            queue = QueueRef(row.engine, row.source, row.queue)
            told: dict[str, object] = {"reason": "the time that was set for the pause is over"}
            row.end_audit_seq = await _write_down(
                session, desk, SYSTEM, project, queue, rules.RESUME, told, None, ""
            )
            row.ended_us, row.ended_by = now, SYSTEM.label
    for project_id in {row.project_id for row, _ in found}:
        await _tell(desk, project_id, None)
    return len(found)


async def _first_end(desk: CommandDesk) -> int:
    """When the next pause is over; 0 when none has an end."""
    ends = select(func.min(Pause.until_us)).where(Pause.ended_us.is_(None))
    async with desk.control.read() as session:
        return await session.scalar(ends) or 0


async def _shown(desk: CommandDesk, project_id: int, row: Pause, told: Sequence[Told]) -> PauseSeen:
    agents = desk.registry.agents(project_id)
    same = ("id", "source", "engine", "queue", "reason", "requested_by", "audit_seq")
    return PauseSeen(
        **{name: getattr(row, name) for name in same},
        since_us=row.since_us,
        until_us=row.until_us,
        workers=rules.workers_of(agents, row.source, row.queue, row.id, told),
    )


def _open(project_id: int, queue: QueueRef) -> Select[Pause]:
    return visible(project_id).where(
        Pause.source == queue.source, Pause.queue == queue.name, Pause.ended_us.is_(None)
    )


def _checked(reason: str, for_s: int) -> str:
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why the queue is paused: whoever finds it paused will want to know.")
    if len(reason) > MAX_REASON:
        raise Invalid(f"The reason is longer than {MAX_REASON} characters.")
    if for_s and not MIN_S <= for_s <= MAX_S:
        raise Invalid("A pause that ends by itself lasts between a minute and 30 days.")
    return reason


async def _write_down(
    session: AsyncSession,
    desk: CommandDesk,
    by: Actor,
    slug: str,
    queue: QueueRef,
    verb: str,
    told: dict[str, object],
    refusal: QueuedeckError | None,
    request_id: str,
) -> int:
    refused = {"refused": refusal.message} if refusal else {}
    return await audit.append(
        session, desk.keyring, desk.clock, by, f"queue.{verb}", queue.audit_target,
        "refused" if refusal else "requested", slug, {**told, **refused}, request_id,
    )  # fmt: skip


async def _tell(desk: CommandDesk, project_id: int, refusal: QueuedeckError | None) -> None:
    """After the commit: raise what was refused, or ask the agents."""
    desk.live.publish(project_id, ("audit",) if refusal else (*TOPICS, "audit"))
    if refusal is not None:
        raise refusal
    await carry_out(desk, project_id)
