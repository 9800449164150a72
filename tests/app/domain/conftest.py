# SPDX-License-Identifier: AGPL-3.0-only
"""Fixtures of the domain's tests: a control database, a clock, passwords, a project."""

from collections import Counter

import pytest
import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.engine import Engine
from tests.support.control import KEYRING, SHELL, FakeClock, control_db, quick_passwords

from queuedeck.domain.projects.service import create_project
from queuedeck.settings import Settings


@pytest.fixture
def statements():
    """Counts what is executed on the control database; many rows of one statement count once."""
    counted = Counter()

    def note(_connection, _cursor, statement, _parameters, _context, _many):
        counted[statement.split(maxsplit=1)[0]] += 1

    event.listen(Engine, "before_cursor_execute", note)
    yield counted
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def keyring():
    return KEYRING


@pytest.fixture
def passwords():
    return quick_passwords()


@pytest.fixture
def settings(tmp_path):
    return Settings(data=tmp_path / "data", public_url="https://deck.example.com")


@pytest_asyncio.fixture
async def db(place):
    async with control_db(place) as opened:
        yield opened


@pytest_asyncio.fixture
async def project(db, clock):
    return await create_project(db, KEYRING, "Shop", SHELL, clock=clock)


@pytest_asyncio.fixture
async def other_project(db, clock):
    return await create_project(db, KEYRING, "Bank", SHELL, clock=clock)
