# SPDX-License-Identifier: AGPL-3.0-only
"""A desk with both stores."""

import pytest_asyncio
from tests.support.commands import Desk
from tests.support.control import history_at


@pytest_asyncio.fixture
async def desk(db, clock, place):
    history = history_at(place, clock)
    await history.open()
    try:
        yield Desk(db, history, clock)
    finally:
        await history.close()
