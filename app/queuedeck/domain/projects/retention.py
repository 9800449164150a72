# SPDX-License-Identifier: AGPL-3.0-only
"""For how long a project keeps its tasks, and what they carried: arguments, results, tracebacks and
sealed calls; and its counts. Never longer than the server does; sooner where an owner says so.
"""

import msgspec
from sqlalchemy import select, update

from queuedeck.clock import Clock, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit import service as audit
from queuedeck.domain.projects.models import Project
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.errors import Invalid
from queuedeck.history.retention import Kept
from queuedeck.history.rollups import KEPT_DAYS
from queuedeck.keyring import Keyring
from queuedeck.settings import MIN_RETENTION_DAYS


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner chose; None: as long as the server keeps tasks."""

    task_days: int | None = None
    payload_days: int | None = None
    """Never more than the tasks themselves are kept."""
    count_days: int | None = None
    """Of trends and of the hours of failures; they outlive the tasks, or go before them."""


async def find_retention(db: ControlDb, project_id: int) -> Retention:
    async with db.read() as session:
        row = (await session.execute(_CHOSEN.where(Project.id == project_id))).one()
    return Retention(task_days=row[1], payload_days=row[2], count_days=row[3])


async def set_retention(
    db: ControlDb,
    keyring: Keyring,
    project: ProjectSeen,
    chosen: Retention,
    by: Actor,
    *,
    server_days: int,
    clock: Clock = now_us,
) -> Retention:
    """Keep so much from now on; what is older goes within minutes and does not come back. Raises
    `Invalid` for a number that the server cannot keep to.
    """
    _check(chosen, server_days)
    async with db.write() as session:
        before = (await session.execute(_CHOSEN.where(Project.id == project.id))).one()
        await session.execute(
            update(Project)
            .where(Project.id == project.id)
            .values(
                keep_task_days=chosen.task_days,
                keep_payload_days=chosen.payload_days,
                keep_count_days=chosen.count_days,
            )
        )
        await audit.append(
            session,
            keyring,
            clock,
            by,
            "project.retention",
            f"project:{project.slug}",
            "done",
            project.slug,
            {
                "tasks": {"before": before[1], "after": chosen.task_days},
                "payloads": {"before": before[2], "after": chosen.payload_days},
                "counts": {"before": before[3], "after": chosen.count_days},
            },
        )
    return chosen


async def projects_that_keep_less(db: ControlDb, server_days: int) -> list[Kept]:
    """What the history must be told: projects that keep as much as the server are not in it."""
    found = await kept_by_projects(db, server_days)
    return [one for one in found if one.payload_days < server_days]


async def kept_by_projects(db: ControlDb, server_days: int) -> list[Kept]:
    """For how long each project keeps what."""
    async with db.read() as session:
        rows = (await session.execute(_CHOSEN)).all()
    return [
        _kept(project_id, tasks, payloads, server_days) for project_id, tasks, payloads, _ in rows
    ]


async def days_of_counts(db: ControlDb) -> dict[int, int]:
    """Project id -> for how many days it keeps its counts; without those that keep all."""
    async with db.read() as session:
        rows = (await session.execute(_CHOSEN)).all()
    return {row[0]: days for row in rows if (days := row[3]) is not None}


def _kept(project_id: int, tasks: int | None, payloads: int | None, server_days: int) -> Kept:
    task_days = min(tasks or server_days, server_days)
    return Kept(
        project_id=project_id,
        task_days=task_days,
        payload_days=min(payloads or task_days, task_days),
    )


def _check(chosen: Retention, server_days: int) -> None:
    for what, days in (("Tasks", chosen.task_days), ("Payloads", chosen.payload_days)):
        if days is not None and not MIN_RETENTION_DAYS <= days <= server_days:
            raise Invalid(
                f"{what} can be kept for {MIN_RETENTION_DAYS} to {server_days} days here, not "
                f"{days}. This server keeps nothing for longer (QUEUEDECK_RETENTION_DAYS)."
            )
    if chosen.count_days is not None and not MIN_RETENTION_DAYS <= chosen.count_days <= KEPT_DAYS:
        raise Invalid(
            f"Trends can be kept for {MIN_RETENTION_DAYS} to {KEPT_DAYS} days, not "
            f"{chosen.count_days}."
        )
    most = chosen.task_days or server_days
    if chosen.payload_days is not None and chosen.payload_days > most:
        raise Invalid(f"Payloads cannot be kept for longer than their tasks, which is {most} days.")


_CHOSEN = select(
    Project.id, Project.keep_task_days, Project.keep_payload_days, Project.keep_count_days
)
