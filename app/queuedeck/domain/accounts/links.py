# SPDX-License-Identifier: AGPL-3.0-only
"""One-time links: the one that makes the first user, and ones that sign a user in.

Opening a link changes nothing (mail scanners and previews open links); using it does, once.
"""

import secrets

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import MINUTE_US, Clock, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import SYSTEM, Actor
from queuedeck.domain.accounts.models import SetupLink, User
from queuedeck.domain.accounts.passwords import Passwords, check_length
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.queries import UserSeen, has_users
from queuedeck.domain.accounts.service import add_member, add_user, check_email
from queuedeck.domain.audit import service as audit
from queuedeck.domain.projects.models import Project
from queuedeck.domain.projects.queries import seen
from queuedeck.domain.projects.service import add_project
from queuedeck.errors import NotFound
from queuedeck.ids import hash_secret
from queuedeck.keyring import Keyring

TOKEN_BYTES = 32
LIFETIME_US = 30 * MINUTE_US
FIRST_PROJECT = "Default"

_GONE = (
    f"This link has been used, or it is older than {LIFETIME_US // MINUTE_US} minutes. Start the "
    "server again for a new one, or run: queuedeck createuser"
)


class LinkSeen(msgspec.Struct, frozen=True):
    """What a one-time link would do."""

    user: UserSeen | None
    """Whom it signs in; None when it makes the first user."""
    expires_us: int


async def first_setup_link(db: ControlDb, keyring: Keyring, clock: Clock = now_us) -> str:
    """The token of a fresh set-up link while there is no user; else empty."""
    if await has_users(db):
        return ""
    return await create_setup_link(db, keyring, SYSTEM, clock=clock)


async def create_setup_link(
    db: ControlDb,
    keyring: Keyring,
    by: Actor,
    user: UserSeen | None = None,
    *,
    clock: Clock = now_us,
) -> str:
    """A token for `/setup/<token>`: to make the first user, or to sign in the given one. Earlier
    links of the same kind end.
    """
    token, now, user_id = secrets.token_urlsafe(TOKEN_BYTES), clock(), user.id if user else None
    row = SetupLink(
        token_hash=hash_secret(token),
        user_id=user_id,
        created_us=now,
        expires_us=now + LIFETIME_US,
    )
    async with db.write() as session:
        await session.execute(
            update(SetupLink)
            .where(SetupLink.user_id.is_not_distinct_from(user_id), SetupLink.used_us.is_(None))
            .values(used_us=now)
        )
        session.add(row)
        await session.flush()
        target = f"user:{user_id}" if user_id else "user:first"
        await audit.append(session, keyring, clock, by, "setup-link.create", target, "done", "")
    return token


async def find_setup_link(db: ControlDb, token: str, clock: Clock = now_us) -> LinkSeen:
    """What a link would do. Changes nothing; raises `NotFound` when it does nothing any more."""
    statement = (
        select(SetupLink, User)
        .outerjoin(User, User.id == SetupLink.user_id)
        .where(SetupLink.token_hash == hash_secret(token), SetupLink.used_us.is_(None))
        .where(SetupLink.expires_us > clock())
    )
    async with db.read() as session:
        found = (await session.execute(statement)).one_or_none()
        first = await session.scalar(select(User.id).limit(1)) is None
    if found is None or (found[0].user_id is None and not first):
        raise NotFound(_GONE)
    link, user = found
    # An outer join gives None for a missing user, whatever its type says.
    seen_user = UserSeen(user.id, user.email, user.name) if link.user_id else None
    return LinkSeen(seen_user, link.expires_us)


async def redeem_setup_link(
    db: ControlDb,
    keyring: Keyring,
    passwords: Passwords,
    token: str,
    email: str,
    name: str,
    password: str,
    *,
    ip: str = "",
    clock: Clock = now_us,
) -> UserSeen:
    """Make the first user, owner of every project there is; with none, of a first one."""
    email = check_email(email)
    check_length(password)
    if (await find_setup_link(db, token, clock)).user is not None:
        raise NotFound(_GONE)
    password_hash = await passwords.hash(password)
    by = Actor("user", "", email, "setup-link", ip)
    async with db.write() as session:
        await _use(session, token, clock())
        if await session.scalar(select(User.id).limit(1)) is not None:
            raise NotFound(_GONE)
        user = await add_user(session, keyring, email, name, password_hash, by, clock=clock)
        projects = [seen(row) for row in await session.scalars(select(Project))]
        if not projects:
            projects = [await add_project(session, keyring, FIRST_PROJECT, by, clock=clock)]
        for project in projects:
            await add_member(session, keyring, project, user, Role.OWNER, by, clock=clock)
    return user


async def redeem_sign_in_link(db: ControlDb, token: str, clock: Clock = now_us) -> UserSeen:
    """The user that a sign-in link names; start a session with `auth="setup-link"` next."""
    link = await find_setup_link(db, token, clock)
    if link.user is None:
        raise NotFound(_GONE)
    async with db.write() as session:
        await _use(session, token, clock())
    return link.user


async def _use(session: AsyncSession, token: str, now: int) -> None:
    """Of any number of attempts at the same time exactly one gets past this."""
    used = await session.scalar(
        update(SetupLink)
        .where(SetupLink.token_hash == hash_secret(token), SetupLink.used_us.is_(None))
        .where(SetupLink.expires_us > now)
        .values(used_us=now)
        .returning(SetupLink.id)
    )
    if used is None:
        raise NotFound(_GONE)
