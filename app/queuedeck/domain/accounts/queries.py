# SPDX-License-Identifier: AGPL-3.0-only
"""Reads people. Password hashes never leave this package."""

import msgspec
from sqlalchemy import select

from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.models import User


class UserSeen(msgspec.Struct, frozen=True):
    """A user, without the password hash."""

    id: int
    email: str
    name: str


async def has_users(db: ControlDb) -> bool:
    async with db.read() as session:
        return await session.scalar(select(User.id).limit(1)) is not None
