# SPDX-License-Identifier: AGPL-3.0-only
"""A desk on both databases."""

import pytest
from tests.support.commands import Desk
from tests.support.control import history_at


@pytest.fixture
async def desk(db, place, clock):
    history = history_at(place, clock)
    await history.open()
    yield Desk(db, history, clock)
    await history.close()
