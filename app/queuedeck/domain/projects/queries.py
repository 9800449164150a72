# SPDX-License-Identifier: AGPL-3.0-only
"""Reads projects, keys and tokens. Nothing here shows a secret: only hashes are stored."""

from contextlib import suppress

import msgspec
from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import MINUTE_US, Clock, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.models import Member
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.projects.models import AgentKey, ApiToken, Project
from queuedeck.errors import NotFound, Unavailable
from queuedeck.ids import AGENT_KEY_PREFIX, API_TOKEN_PREFIX, hash_secret, is_well_formed_key


class ProjectSeen(msgspec.Struct, frozen=True):
    """A project, as everything outside this package names it."""

    id: int
    slug: str
    name: str


class ProjectOfUser(msgspec.Struct, frozen=True):
    """A project, and what the user is in it."""

    project: ProjectSeen
    role: Role


class AgentKeySeen(msgspec.Struct, frozen=True):
    """A key that connects agents, without the secret."""

    id: int
    prefix: str
    seal_id: str
    created_by: str
    created_us: int
    revoked_us: int | None
    last_used_us: int | None


class ApiTokenSeen(msgspec.Struct, frozen=True):
    """A token of programs, without the secret."""

    id: int
    prefix: str
    role: Role
    created_by: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None
    last_used_us: int | None


class AgentKeyFound(msgspec.Struct, frozen=True):
    """Whose agent key it is."""

    project_id: int
    slug: str
    key_id: int


class ApiTokenFound(msgspec.Struct, frozen=True):
    """Whose API token it is."""

    project_id: int
    slug: str
    token_id: int
    prefix: str
    role: Role


async def find_project(db: ControlDb, slug: str) -> ProjectSeen:
    """A project by its slug, whoever asks: for the command line and for agents."""
    async with db.read() as session:
        return await project_in(session, slug)


async def project_in(session: AsyncSession, slug: str) -> ProjectSeen:
    row = await session.scalar(select(Project).where(Project.slug == slug))
    if row is None:
        raise NotFound(f"There is no project {slug!r}.")
    return seen(row)


async def list_projects(db: ControlDb) -> list[ProjectSeen]:
    async with db.read() as session:
        return [seen(row) for row in await session.scalars(select(Project).order_by(Project.id))]


async def projects_of_user(db: ControlDb, user_id: int) -> list[ProjectOfUser]:
    """The projects that a user is a member of, with the role, by name."""
    statement = (
        select(Project, Member.role)
        .join(Member, Member.project_id == Project.id)
        .where(Member.user_id == user_id)
        .order_by(Project.name, Project.id)
    )
    async with db.read() as session:
        rows = await session.execute(statement)
        return [ProjectOfUser(seen(project), Role(role)) for project, role in rows]


async def list_agent_keys(db: ControlDb, project_id: int) -> list[AgentKeySeen]:
    """All keys of the project, newest first, revoked ones too."""
    async with db.read() as session:
        rows = await session.scalars(visible_keys(project_id).order_by(AgentKey.id.desc()))
        return [msgspec.convert(row, AgentKeySeen, from_attributes=True) for row in rows]


async def list_api_tokens(db: ControlDb, project_id: int) -> list[ApiTokenSeen]:
    async with db.read() as session:
        rows = await session.scalars(visible_tokens(project_id).order_by(ApiToken.id.desc()))
        return [msgspec.convert(row, ApiTokenSeen, from_attributes=True) for row in rows]


def visible_keys(project_id: int) -> Select[AgentKey]:
    return select(AgentKey).where(AgentKey.project_id == project_id)


def visible_tokens(project_id: int) -> Select[ApiToken]:
    return select(ApiToken).where(ApiToken.project_id == project_id)


async def find_agent_key(db: ControlDb, key: str, clock: Clock = now_us) -> AgentKeyFound | None:
    """Whose key this is; None when it is malformed, unknown or revoked."""
    if not is_well_formed_key(key, AGENT_KEY_PREFIX):
        return None
    statement = (
        select(AgentKey, Project.slug)
        .join(Project, Project.id == AgentKey.project_id)
        .where(AgentKey.key_hash == hash_secret(key), AgentKey.revoked_us.is_(None))
    )
    async with db.read() as session:
        found = (await session.execute(statement)).one_or_none()
    if found is None:
        return None
    row, slug = found
    await _note_use(db, AgentKey, row.id, row.last_used_us, clock())
    return AgentKeyFound(row.project_id, slug, row.id)


async def find_api_token(db: ControlDb, token: str, clock: Clock = now_us) -> ApiTokenFound | None:
    """Whose token this is; None when it is malformed, unknown, revoked or expired."""
    if not is_well_formed_key(token, API_TOKEN_PREFIX):
        return None
    statement = (
        select(ApiToken, Project.slug)
        .join(Project, Project.id == ApiToken.project_id)
        .where(ApiToken.token_hash == hash_secret(token), ApiToken.revoked_us.is_(None))
    )
    async with db.read() as session:
        found = (await session.execute(statement)).one_or_none()
    if found is None:
        return None
    row, slug = found
    if row.expires_us is not None and row.expires_us <= clock():
        return None
    await _note_use(db, ApiToken, row.id, row.last_used_us, clock())
    return ApiTokenFound(row.project_id, slug, row.id, row.prefix, Role(row.role))


def seen(row: Project) -> ProjectSeen:
    return ProjectSeen(row.id, row.slug, row.name)


async def _note_use(
    db: ControlDb, model: type[AgentKey] | type[ApiToken], row_id: int, last: int | None, now: int
) -> None:
    """Remember the last use to the minute: one write a minute and key, not one a request."""
    if last is not None and now - last < MINUTE_US:
        return
    with suppress(Unavailable):  # Nobody is kept out because this cannot be written.
        async with db.write() as session:
            await session.execute(update(model).where(model.id == row_id).values(last_used_us=now))
