# SPDX-License-Identifier: AGPL-3.0-only
"""A history store in a folder of its own."""

import pytest
from tests.support.history_events import NOW_US

from queuedeck.history.sqlite.store import SqliteHistory


@pytest.fixture
async def history(tmp_path):
    store = SqliteHistory(tmp_path / "history.db", lambda: NOW_US)
    await store.open()
    yield store
    await store.close()
