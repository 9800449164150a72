# SPDX-License-Identifier: AGPL-3.0-only
"""Makes users and checks passwords. Sessions are in sessions.py, one-time links in links.py."""

import re

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import Clock, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts import throttle
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.models import Member, User
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.queries import UserSeen
from queuedeck.domain.audit import service as audit
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.domain.projects.service import add_project
from queuedeck.errors import Conflict, Invalid, NotFound, Unauthorized
from queuedeck.keyring import Keyring

MAX_EMAIL = 254
MAX_NAME = 100
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


async def create_user(
    db: ControlDb,
    keyring: Keyring,
    passwords: Passwords,
    email: str,
    name: str,
    password: str,
    by: Actor,
    *,
    projects: tuple[ProjectSeen, ...] = (),
    role: Role = Role.OWNER,
    clock: Clock = now_us,
) -> UserSeen:
    """Make a user with this role in these projects. Raises `Conflict` when the address is taken."""
    email = check_email(email)
    password_hash = await passwords.hash(password)
    async with db.write() as session:
        user = await add_user(session, keyring, email, name, password_hash, by, clock=clock)
        for project in projects:
            await add_member(session, keyring, project, user, role, by, clock=clock)
    return user


async def add_user(
    session: AsyncSession,
    keyring: Keyring,
    email: str,
    name: str,
    password_hash: str,
    by: Actor,
    *,
    clock: Clock,
) -> UserSeen:
    """The same without projects, within the caller's write transaction."""
    name = " ".join(name.split()) or email.partition("@")[0]
    if len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"The name has more than {MAX_NAME} characters, or some cannot be printed.")
    if await session.scalar(select(User.id).where(User.email == email)) is not None:
        raise Conflict(f"There is a user {email} already.")
    row = User(email=email, name=name, password_hash=password_hash, created_us=clock())
    session.add(row)
    await session.flush()
    await audit.append(
        session, keyring, clock, by, "user.create", f"user:{row.id}", "done", "", {"email": email}
    )
    return UserSeen(row.id, row.email, row.name)


async def add_member(
    session: AsyncSession,
    keyring: Keyring,
    project: ProjectSeen,
    user: UserSeen,
    role: Role,
    by: Actor,
    *,
    clock: Clock,
) -> None:
    """Give a user a role in a project, within the caller's write transaction."""
    await session.execute(
        insert(Member).values(
            project_id=project.id, user_id=user.id, role=role.value, created_us=clock()
        )
    )
    target = f"user:{user.id}"
    await audit.append(
        session,
        keyring,
        clock,
        by,
        "member.add",
        target,
        "done",
        project.slug,
        {"email": user.email, "role": role.value},
    )


async def create_owned_project(
    db: ControlDb,
    keyring: Keyring,
    name: str,
    by: Actor,
    *,
    owner: str = "",
    clock: Clock = now_us,
) -> tuple[ProjectSeen, UserSeen | None]:
    """Make a project that somebody can open: the user with this address owns it, by default the
    first account. Nobody does while there are no users.
    """
    wanted = select(User).order_by(User.id).limit(1)
    if owner:
        wanted = wanted.where(User.email == check_email(owner))
    async with db.write() as session:
        row = await session.scalar(wanted)
        if row is None and owner:
            raise NotFound(f"There is no user {owner}. Make one with: queuedeck createuser {owner}")
        user = UserSeen(row.id, row.email, row.name) if row else None
        project = await add_project(session, keyring, name, by, clock=clock)
        if user:
            await add_member(session, keyring, project, user, Role.OWNER, by, clock=clock)
    return project, user


async def authenticate(
    db: ControlDb,
    keyring: Keyring,
    passwords: Passwords,
    email: str,
    password: str,
    *,
    ip: str = "",
    clock: Clock = now_us,
) -> UserSeen:
    """The user with this address and password. Raises `Unauthorized`, for unknown users as for
    wrong passwords and after the same time; or `TooMany`.
    """
    email = email.strip().lower()
    async with db.write() as session:
        user = await session.scalar(select(User).where(User.email == email))
        await throttle.take(session, email, user.id if user else None, ip, clock())
    if await passwords.matches(user.password_hash if user else None, password) and user:
        async with db.write() as session:
            await throttle.forget_account(session, email)
        return UserSeen(user.id, user.email, user.name)
    by = Actor("user", str(user.id) if user else "", user.email if user else "", "password", ip)
    async with db.write() as session:
        # An unknown address is not written down: it may be a password in the wrong field.
        target = f"user:{user.id}" if user else "user:unknown"
        await audit.append(session, keyring, clock, by, "login", target, "refused", "")
    raise Unauthorized("The e-mail address or the password is not right.")


def check_email(email: str) -> str:
    """The address in lower case. Raises `Invalid` for what cannot be one."""
    email = email.strip().lower()
    if len(email) > MAX_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise Invalid("That is not an e-mail address. It looks like ann@example.com.")
    return email
