# SPDX-License-Identifier: AGPL-3.0-only
"""Makes and revokes: projects, agent keys, API tokens. Each with its audit entry in the same
transaction; secrets are returned once and stored as hashes.
"""

import re
import unicodedata

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import Clock, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.audit import service as audit
from queuedeck.domain.projects.dsn import SealKey, format_dsn, new_seal_key, parse_dsn
from queuedeck.domain.projects.models import AgentKey, ApiToken, Project
from queuedeck.domain.projects.queries import (
    ProjectSeen,
    seen,
    visible_keys,
    visible_tokens,
)
from queuedeck.errors import Conflict, Invalid, NotFound
from queuedeck.ids import AGENT_KEY_PREFIX, API_TOKEN_PREFIX, hash_secret, new_key
from queuedeck.keyring import Keyring
from queuedeck.settings import Settings

MAX_NAME = 60
MAX_SLUG = 40
SHOWN_DIGITS = 6
"""How many digits of a key are kept in clear, to tell keys apart."""


class DsnMade(msgspec.Struct, frozen=True):
    """A new agent key, inside its DSN."""

    dsn: str
    """Shown once."""
    key_id: int
    prefix: str
    seal_id: str
    opens_old: bool
    """Whether agents with this DSN can open the calls that earlier keys sealed."""
    other_seal_ids: tuple[str, ...]
    """Sealing keys of the project that this DSN does not hold."""


class TokenMade(msgspec.Struct, frozen=True):
    """A new API token."""

    token: str
    """Shown once."""
    token_id: int
    prefix: str
    role: Role


async def create_project(
    db: ControlDb, keyring: Keyring, name: str, by: Actor, *, clock: Clock = now_us
) -> ProjectSeen:
    """Make a project; its slug comes from the name. Raises `Conflict` when the name is taken."""
    async with db.write() as session:
        return await add_project(session, keyring, name, by, clock=clock)


async def add_project(
    session: AsyncSession, keyring: Keyring, name: str, by: Actor, *, clock: Clock = now_us
) -> ProjectSeen:
    """The same, within the caller's write transaction."""
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"A project needs a name of 1 to {MAX_NAME} printable characters.")
    row = Project(slug=await _free_slug(session, name), name=name, created_us=clock())
    session.add(row)
    await session.flush()
    await audit.append(
        session,
        keyring,
        clock,
        by,
        "project.create",
        f"project:{row.slug}",
        "done",
        row.slug,
        {"name": name},
    )
    return seen(row)


async def create_agent_key(
    db: ControlDb,
    keyring: Keyring,
    settings: Settings,
    project: ProjectSeen,
    by: Actor,
    from_dsn: str = "",
    *,
    clock: Clock = now_us,
) -> DsnMade:
    """Make a key and its DSN. With `from_dsn` the new DSN holds the same sealing key as that one;
    without, it starts a new sealing key, which opens nothing that was sealed before.
    """
    seal = _seal_of(from_dsn, project) if from_dsn else new_seal_key()
    key = new_key(AGENT_KEY_PREFIX)
    async with db.write() as session:
        earlier = await session.scalars(visible_keys(project.id))
        others = tuple(sorted({row.seal_id for row in earlier} - {seal.id}))
        row = AgentKey(
            project_id=project.id,
            key_hash=hash_secret(key),
            prefix=shown_prefix(key, AGENT_KEY_PREFIX),
            seal_id=seal.id,
            created_by=by.label,
            created_us=clock(),
        )
        session.add(row)
        await session.flush()
        await audit.append(
            session,
            keyring,
            clock,
            by,
            "agent-key.create",
            f"agent-key:{row.id}",
            "done",
            project.slug,
            {"prefix": row.prefix, "seal_id": seal.id},
        )
    dsn = format_dsn(settings.url, key, project.slug, seal, keyring.root_public)
    return DsnMade(dsn, row.id, row.prefix, seal.id, not others, others)


async def revoke_agent_key(
    db: ControlDb,
    keyring: Keyring,
    project: ProjectSeen,
    key_id: int,
    by: Actor,
    *,
    clock: Clock = now_us,
) -> None:
    """No agent connects with it any more. Raises `NotFound` for another project's key."""
    async with db.write() as session:
        row = await session.scalar(visible_keys(project.id).where(AgentKey.id == key_id))
        await _revoke(session, keyring, project, row, "agent-key", by, clock)


async def create_api_token(
    db: ControlDb,
    keyring: Keyring,
    project: ProjectSeen,
    role: Role,
    by: Actor,
    *,
    expires_us: int | None = None,
    clock: Clock = now_us,
) -> TokenMade:
    token = new_key(API_TOKEN_PREFIX)
    async with db.write() as session:
        row = ApiToken(
            project_id=project.id,
            token_hash=hash_secret(token),
            prefix=shown_prefix(token, API_TOKEN_PREFIX),
            role=role.value,
            created_by=by.label,
            created_us=clock(),
            expires_us=expires_us,
        )
        session.add(row)
        await session.flush()
        await audit.append(
            session,
            keyring,
            clock,
            by,
            "api-token.create",
            f"api-token:{row.id}",
            "done",
            project.slug,
            {"prefix": row.prefix, "role": role.value},
        )
    return TokenMade(token, row.id, row.prefix, role)


async def revoke_api_token(
    db: ControlDb,
    keyring: Keyring,
    project: ProjectSeen,
    token_id: int,
    by: Actor,
    *,
    clock: Clock = now_us,
) -> None:
    async with db.write() as session:
        row = await session.scalar(visible_tokens(project.id).where(ApiToken.id == token_id))
        await _revoke(session, keyring, project, row, "api-token", by, clock)


def slug_of(name: str) -> str:
    """Letters, digits and single hyphens; never empty, so it can stand in a URL."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:MAX_SLUG].strip("-")
    return slug or "project"


def shown_prefix(secret: str, prefix: str) -> str:
    return secret[: len(prefix) + SHOWN_DIGITS]


async def _free_slug(session: AsyncSession, name: str) -> str:
    rows = await session.execute(select(Project.slug, Project.name))
    taken = dict(rows.all())
    for slug, other in taken.items():
        if other.casefold() == name.casefold():
            raise Conflict(f"There is a project {other!r} already; its slug is {slug}.")
    base, number = slug_of(name), 1
    slug = base
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _seal_of(from_dsn: str, project: ProjectSeen) -> SealKey:
    dsn = parse_dsn(from_dsn)
    if dsn.project != project.slug:
        raise Invalid(
            f"That DSN belongs to project {dsn.project!r}. Sealed calls are bound to their "
            f"project, so name a DSN of {project.slug!r}, or none."
        )
    return dsn.seal


async def _revoke(
    session: AsyncSession,
    keyring: Keyring,
    project: ProjectSeen,
    row: AgentKey | ApiToken | None,
    kind: str,
    by: Actor,
    clock: Clock,
) -> None:
    if row is None:
        raise NotFound(f"Project {project.slug!r} has no such {kind.replace('-', ' ')}.")
    if row.revoked_us is not None:
        raise Conflict("It has been revoked already.")
    row.revoked_us = clock()
    await audit.append(
        session,
        keyring,
        clock,
        by,
        f"{kind}.revoke",
        f"{kind}:{row.id}",
        "done",
        project.slug,
        {"prefix": row.prefix},
    )
