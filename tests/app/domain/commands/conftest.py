# SPDX-License-Identifier: AGPL-3.0-only
"""A desk with both stores."""

import pytest_asyncio
from tests.support.commands import Desk

from queuedeck.history.sqlite.store import SqliteHistory


@pytest_asyncio.fixture
async def desk(db, clock, tmp_path):
    history = SqliteHistory(tmp_path / "history.db", clock)
    await history.open()
    try:
        yield Desk(db, history, clock)
    finally:
        await history.close()
