# SPDX-License-Identifier: AGPL-3.0-only
"""A history store of its own for each test, on each database."""

import pytest
from tests.support import postgres
from tests.support.history_events import NOW_US

from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.sqlite.store import SqliteHistory

SCHEMA = "history"


class SqliteKind:
    """A history in a file."""

    name = "sqlite"

    def __init__(self, folder):
        self.path = folder / "history.db"

    def make(self, clock=lambda: NOW_US):
        return SqliteHistory(self.path, clock)


class PostgresKind:
    """A history in a database that this process of the tests has to itself."""

    name = "postgres"

    def __init__(self):
        self.url = postgres.database_url()
        postgres.execute(self.url, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

    def make(self, clock=lambda: NOW_US):
        return PostgresHistory(self.url, clock)


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request, tmp_path):
    return SqliteKind(tmp_path) if request.param == "sqlite" else PostgresKind()


@pytest.fixture
async def history(kind):
    store = kind.make()
    await store.open()
    yield store
    await store.close()
