# SPDX-License-Identifier: AGPL-3.0-only
"""Tables of people: users, memberships, sessions, one-time links, and the login throttle."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros, RowId, Secret


class User(Base):
    """A person who can sign in."""

    __tablename__ = "users"

    id: Mapped[RowId]
    email: Mapped[str] = mapped_column(unique=True)
    """Lower case."""
    name: Mapped[str]
    password_hash: Mapped[str]
    """argon2id, in its own text form with parameters and salt."""
    created_us: Mapped[Micros]


class Member(Base):
    """A person's role in a project."""

    __tablename__ = "members"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str]
    created_us: Mapped[Micros]


class LoginSession(Base):
    """Kept after its end for a while: a known address is spared the account's throttle."""

    __tablename__ = "login_sessions"
    __table_args__ = (Index("ix_login_sessions_user_ip", "user_id", "ip"),)

    id: Mapped[RowId]
    token_hash: Mapped[Secret]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    ip: Mapped[str]
    created_us: Mapped[Micros]
    seen_us: Mapped[Micros]
    """Written at most once a minute."""
    expires_us: Mapped[Micros]
    """The absolute end, however busy the session is."""
    ended_us: Mapped[Micros | None]


class SetupLink(Base):
    """One use: makes the first user, or signs in the user it names."""

    __tablename__ = "setup_links"

    id: Mapped[RowId]
    token_hash: Mapped[Secret]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros]
    used_us: Mapped[Micros | None]


class LoginBucket(Base):
    """Throttle of one account or one address: a token bucket in one number."""

    __tablename__ = "login_buckets"

    key: Mapped[str] = mapped_column(primary_key=True)
    """`account:<hash>` or `ip:<address or /64>`."""
    full_us: Mapped[Micros] = mapped_column(index=True)
    """When the bucket will be full again; a row in the past says nothing and may go."""
