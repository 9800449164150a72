# SPDX-License-Identifier: AGPL-3.0-only
"""A control database in a temporary folder, a clock that tests move, and who acts in them."""

import sqlite3
from contextlib import asynccontextmanager, closing

from queuedeck.clock import SECOND_US
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.audit.queries import list_entries
from queuedeck.keyring import Keyring

KEYRING = Keyring(b"\x07" * 32)
OTHER_KEYRING = Keyring(b"\x08" * 32)
SHELL = Actor("cli", "root", "root", "shell")
PASSWORD = "correct horse battery"
NOON_US = 1_767_182_400 * SECOND_US


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self, now_us=NOON_US):
        self.now_us = now_us

    def __call__(self):
        return self.now_us

    def advance(self, seconds):
        self.now_us += int(seconds * SECOND_US)


def quick_passwords():
    """argon2id with the least work it allows."""
    return Passwords(time_cost=1, memory_kib=8)


@asynccontextmanager
async def control_db(folder):
    db = ControlDb(folder / "data" / "control.db")
    await db.open()
    try:
        yield db
    finally:
        await db.close()


async def audited(db, project=""):
    """(action, outcome) of the entries of a project, oldest first."""
    page = await list_entries(db, project, limit=500)
    return [(line.action, line.outcome) for line in reversed(page.entries)]


def run_sql(db, *statements):
    """Change the file behind the server's back, as somebody with access to the disk could.

    A statement is text, or (text, parameters). Returns the rows of the last one.
    """
    rows = []
    with closing(sqlite3.connect(db.path)) as connection:
        for statement in statements:
            text, parameters = statement if isinstance(statement, tuple) else (statement, ())
            rows = connection.execute(text, parameters).fetchall()
        connection.commit()
    return rows
