# SPDX-License-Identifier: AGPL-3.0-only
"""Gives the demo's server its user, project, key and token, before the server starts; and makes
links that log in while it runs. The same services as the command line's, in the same audit log.
"""

import asyncio

import msgspec

from queuedeck import folder
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.links import create_setup_link
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.queries import UserSeen
from queuedeck.domain.accounts.service import create_user
from queuedeck.domain.projects.service import create_agent_key, create_api_token, create_project
from queuedeck.keyring import Keyring, load_or_create
from queuedeck.settings import Settings

PROJECT = "Shop"
DEMO = Actor("cli", "demo", "queuedeck demo", "shell")


class Provisioned(msgspec.Struct, frozen=True):
    project: str
    """The slug."""
    dsn: str
    token: str
    user: UserSeen


def provision(settings: Settings, email: str, password: str) -> Provisioned:
    """Make all that the demo needs in a new data folder."""
    folder.prepare(settings.data)
    return asyncio.run(_provision(settings, email, password))


def login_link(settings: Settings, user: UserSeen) -> str:
    """A link that logs this user in, once."""
    token = asyncio.run(_link_token(settings, user))
    return f"{settings.url}/setup/{token}"


async def _provision(settings: Settings, email: str, password: str) -> Provisioned:
    keyring = _keyring(settings)
    db = ControlDb(settings.control_db)
    await db.open()
    try:
        project = await create_project(db, keyring, PROJECT, DEMO)
        user = await create_user(
            db, keyring, Passwords(), email, "Demo", password, DEMO, projects=(project,)
        )
        key = await create_agent_key(db, keyring, settings, project, DEMO)
        token = await create_api_token(db, keyring, project, Role.OPERATOR, DEMO)
    finally:
        await db.close()
    return Provisioned(project.slug, key.dsn, token.token, user)


async def _link_token(settings: Settings, user: UserSeen) -> str:
    db = ControlDb(settings.control_db)
    await db.open()
    try:
        return await create_setup_link(db, _keyring(settings), DEMO, user)
    finally:
        await db.close()


def _keyring(settings: Settings) -> Keyring:
    return load_or_create(settings.data / folder.KEY_NAME, settings.secret)
