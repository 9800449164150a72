# SPDX-License-Identifier: AGPL-3.0-only
"""Keeps filters under a name: for oneself, or for everybody in the project."""

import msgspec
from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import Clock
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.audit import service as audit
from queuedeck.domain.projects.access import Access
from queuedeck.domain.savedviews.models import SavedView
from queuedeck.domain.tasks.filters import parse, to_text
from queuedeck.errors import Conflict, Forbidden, Invalid, NotFound
from queuedeck.keyring import Keyring

MAX_NAME = 60
MOST = 50
"""So many views one person may keep in a project, and so many the team."""


class ViewSeen(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    question: str
    is_team: bool
    """False: of whoever asks, and of nobody else."""
    made_by: str
    created_us: int


async def views_of(db: ControlDb, project_id: int, actor: Actor) -> list[ViewSeen]:
    """The actor's own views and the team's, by name."""

    async def read() -> list[ViewSeen]:
        async with db.read() as session:
            rows = await session.scalars(
                select(SavedView)
                .where(SavedView.project_id == project_id, _visible(actor))
                .order_by(func.lower(SavedView.name), SavedView.id)
            )
            return [_seen(row) for row in rows]

    return await db.remembered(("views", project_id, actor.kind, actor.id), read) or []


async def find_view(db: ControlDb, project_id: int, actor: Actor, view_id: int) -> ViewSeen:
    """Raises `NotFound` also for somebody else's."""
    for view in await views_of(db, project_id, actor):
        if view.id == view_id:
            return view
    raise NotFound("There is no such view, or it is somebody else's.")


async def save_view(
    db: ControlDb,
    keyring: Keyring,
    clock: Clock,
    access: Access,
    by: Actor,
    *,
    name: str,
    text: str,
    is_team: bool,
    request_id: str = "",
) -> ViewSeen:
    """Keep the filter `text` under a name. Raises `Invalid`, `Forbidden`, `Conflict` for a name
    that is taken, and `FilterInvalid`.
    """
    name, question = _checked(name, text)
    owner = _owner(access, by, is_team=is_team)
    mine = (
        SavedView.project_id == access.project.id,
        SavedView.owner_id.is_not_distinct_from(owner),
    )
    async with db.write() as session:
        taken = list(await session.scalars(select(SavedView.name).where(*mine)))
        if name.casefold() in {one.casefold() for one in taken}:
            raise Conflict(
                f"There is a view named {name!r} already. Take another name, or remove it."
            )
        if len(taken) >= MOST:
            raise Conflict(f"There are {MOST} views already. Remove one that nobody needs.")
        row = SavedView(
            project_id=access.project.id,
            owner_id=owner,
            name=name,
            question=question,
            made_by=by.label,
            created_us=clock(),
        )
        session.add(row)
        await session.flush()
        await _write_down(session, keyring, clock, access, by, "view.save", row, request_id)
    return _seen(row)


async def remove_view(
    db: ControlDb,
    keyring: Keyring,
    clock: Clock,
    access: Access,
    by: Actor,
    view_id: int,
    request_id: str = "",
) -> None:
    """Raises `NotFound`, or `Forbidden` for a view of the team."""
    async with db.write() as session:
        row = await session.scalar(
            select(SavedView).where(
                SavedView.project_id == access.project.id, SavedView.id == view_id, _visible(by)
            )
        )
        if row is None:
            raise NotFound("There is no such view, or it is somebody else's.")
        if row.owner_id is None:
            _check_share(access)
        await session.execute(delete(SavedView).where(SavedView.id == row.id))
        await _write_down(session, keyring, clock, access, by, "view.remove", row, request_id)


def _visible(actor: Actor) -> ColumnElement[bool]:
    team = SavedView.owner_id.is_(None)
    return or_(team, SavedView.owner_id == int(actor.id)) if actor.kind == "user" else team


def _checked(name: str, text: str) -> tuple[str, str]:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME:
        raise Invalid(f"A view needs a name of 1 to {MAX_NAME} characters.")
    question = to_text(parse(text))
    if not question:
        raise Invalid("There is no filter to keep: a view is a filter with a name.")
    return name, question


def _owner(access: Access, by: Actor, *, is_team: bool) -> int | None:
    if is_team:
        _check_share(access)
        return None
    if by.kind != "user":
        raise Invalid("Only a person has views of their own. Save it for the team instead.")
    return int(by.id)


def _check_share(access: Access) -> None:
    if not access.allows(Permission.SHARE_VIEWS):
        raise Forbidden(
            f"Your role in this project is {access.role.value}, which does not include "
            f"{Permission.SHARE_VIEWS.value}. Keep the view for yourself, or ask an operator."
        )


async def _write_down(
    session: AsyncSession,
    keyring: Keyring,
    clock: Clock,
    access: Access,
    by: Actor,
    action: str,
    row: SavedView,
    request_id: str,
) -> None:
    whose = "team" if row.owner_id is None else "own"
    payload = {"name": row.name, "filter": row.question, "for": whose}
    slug = access.project.slug
    await audit.append(
        session, keyring, clock, by, action, f"view:{row.id}", "done", slug, payload, request_id
    )


def _seen(row: SavedView) -> ViewSeen:
    return ViewSeen(
        id=row.id,
        name=row.name,
        question=row.question,
        is_team=row.owner_id is None,
        made_by=row.made_by,
        created_us=row.created_us,
    )
