# SPDX-License-Identifier: AGPL-3.0-only
"""Signed-in browsers: opaque random tokens, stored as hashes, new at each login."""

import secrets
from contextlib import suppress

import msgspec
from sqlalchemy import Update, select, update

from queuedeck.clock import DAY_US, MINUTE_US, Clock, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.models import LoginSession, User
from queuedeck.domain.accounts.queries import UserSeen
from queuedeck.domain.audit import service as audit
from queuedeck.errors import Unavailable
from queuedeck.ids import hash_secret
from queuedeck.keyring import Keyring

TOKEN_BYTES = 32
IDLE_US = 1 * DAY_US
"""A session that nobody used for so long is over."""
ABSOLUTE_US = 14 * DAY_US
"""A session is over after so long, however busy."""
SEEN_EVERY_US = 10 * MINUTE_US


class SessionSeen(msgspec.Struct, frozen=True):
    """A signed-in browser."""

    id: int
    user: UserSeen
    created_us: int
    expires_us: int

    def actor(self, ip: str = "") -> Actor:
        return Actor("user", str(self.user.id), self.user.email, f"session:{self.id}", ip)


async def start_session(
    db: ControlDb,
    keyring: Keyring,
    user: UserSeen,
    *,
    ip: str = "",
    auth: str = "password",
    previous: str = "",
    clock: Clock = now_us,
) -> str:
    """Sign a user in and return the new token; the token the browser had before ends here."""
    token, now = secrets.token_urlsafe(TOKEN_BYTES), clock()
    async with db.write() as session:
        if previous:
            await session.execute(_end(previous, now))
        row = LoginSession(
            token_hash=hash_secret(token),
            user_id=user.id,
            ip=ip,
            created_us=now,
            seen_us=now,
            expires_us=now + ABSOLUTE_US,
        )
        session.add(row)
        await session.flush()
        by = Actor("user", str(user.id), user.email, auth, ip)
        await audit.append(session, keyring, clock, by, "login", f"session:{row.id}", "done", "")
    return token


async def find_session(db: ControlDb, token: str, clock: Clock = now_us) -> SessionSeen | None:
    """Who is signed in with this token; None when it is unknown, ended or expired."""
    statement = (
        select(LoginSession, User)
        .join(User, User.id == LoginSession.user_id)
        .where(LoginSession.token_hash == hash_secret(token), LoginSession.ended_us.is_(None))
    )
    async with db.read() as session:
        found = (await session.execute(statement)).one_or_none()
    now = clock()
    if found is None:
        return None
    row, user = found
    if row.expires_us <= now or row.seen_us + IDLE_US <= now:
        return None
    if now - row.seen_us >= SEEN_EVERY_US:
        with suppress(Unavailable):  # Who reads may go on while nothing can be written.
            await _note_seen(db, row.id, now)
    return SessionSeen(
        row.id, UserSeen(user.id, user.email, user.name), row.created_us, row.expires_us
    )


async def end_session(
    db: ControlDb, keyring: Keyring, token: str, *, ip: str = "", clock: Clock = now_us
) -> None:
    """Sign out. A token that has ended already is no error."""
    async with db.write() as session:
        ended = await session.execute(
            _end(token, clock()).returning(LoginSession.id, LoginSession.user_id)
        )
        row = ended.one_or_none()
        if row is None:
            return
        email = await session.scalar(select(User.email).where(User.id == row.user_id))
        by = Actor("user", str(row.user_id), email or "", f"session:{row.id}", ip)
        await audit.append(session, keyring, clock, by, "logout", f"session:{row.id}", "done", "")


async def _note_seen(db: ControlDb, session_id: int, now: int) -> None:
    """Seldom, also when many tabs ask at the same time."""
    statement = (
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.seen_us <= now - SEEN_EVERY_US)
        .values(seen_us=now)
    )
    async with db.write() as session:
        await session.execute(statement)


def _end(token: str, now: int) -> Update:
    return (
        update(LoginSession)
        .where(LoginSession.token_hash == hash_secret(token), LoginSession.ended_us.is_(None))
        .values(ended_us=now)
    )
