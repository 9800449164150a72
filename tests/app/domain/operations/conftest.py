# SPDX-License-Identifier: AGPL-3.0-only
"""Operations on a desk with both stores, moved on step by step."""

import pytest_asyncio
from tests.support.commands import Desk
from tests.support.control import history_at
from tests.support.operations import Bench


@pytest_asyncio.fixture
async def desk(db, clock, place):
    history = history_at(place, clock)
    await history.open()
    try:
        yield Desk(db, history, clock)
    finally:
        await history.close()


@pytest_asyncio.fixture
async def bench(desk, project, clock):
    return Bench(desk, project, clock)
