# SPDX-License-Identifier: AGPL-3.0-only
"""A history store of its own for each test, on each database."""

import pytest
from tests.support.history_stores import PostgresKind, SqliteKind


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request, tmp_path):
    kind = SqliteKind(tmp_path) if request.param == "sqlite" else PostgresKind()
    yield kind
    kind.close()


@pytest.fixture
async def history(kind):
    store = kind.history()
    await store.open()
    yield store
    await store.close()
