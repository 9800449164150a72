# SPDX-License-Identifier: AGPL-3.0-only
"""For how long projects keep tasks, as the history is told."""

import pytest
from tests.support.control import KEYRING, SHELL

from queuedeck.domain.projects.retention import (
    Retention,
    days_of_counts,
    find_retention,
    projects_that_keep_less,
    set_retention,
)
from queuedeck.domain.projects.service import create_project
from queuedeck.errors import Invalid
from queuedeck.history.retention import Kept

SERVER_DAYS = 30


@pytest.fixture
async def shop(db):
    return await create_project(db, KEYRING, "Shop", SHELL)


async def keep(db, project, tasks, payloads, counts=None):
    chosen = Retention(task_days=tasks, payload_days=payloads, count_days=counts)
    await set_retention(db, KEYRING, project, chosen, SHELL, server_days=SERVER_DAYS)


async def test_a_project_keeps_what_the_server_keeps_unless_told_otherwise(db, shop):
    assert await projects_that_keep_less(db, SERVER_DAYS) == []
    assert await find_retention(db, shop.id) == Retention()


@pytest.mark.parametrize(
    ("chosen", "told"),
    [((14, None), (14, 14)), ((None, 7), (30, 7)), ((14, 7), (14, 7)), ((30, 30), None)],
)
async def test_what_is_less_is_told(db, shop, chosen, told):
    await keep(db, shop, *chosen)
    found = await projects_that_keep_less(db, SERVER_DAYS)
    if told is None:
        assert found == []
    else:
        days = {"task_days": told[0], "payload_days": told[1]}
        assert found == [Kept(project_id=shop.id, **days)]


async def test_server_that_keeps_less_by_now_wins(db, shop):
    await keep(db, shop, 20, 10)
    found = await projects_that_keep_less(db, 12)
    assert found == [Kept(project_id=shop.id, task_days=12, payload_days=10)]


async def test_counts_are_kept_apart_from_tasks(db, shop):
    assert await days_of_counts(db) == {}
    await keep(db, shop, None, None, 90)
    assert await days_of_counts(db) == {shop.id: 90}
    assert await projects_that_keep_less(db, SERVER_DAYS) == []
    assert await find_retention(db, shop.id) == Retention(count_days=90)


@pytest.mark.parametrize(
    "chosen",
    [
        (2, None),
        (31, None),
        (None, 31),
        (10, 11),
        (None, 0),
        (None, None, 2),
        (None, None, 401),
    ],
)
async def test_what_the_server_cannot_keep_to_is_refused(db, shop, chosen):
    with pytest.raises(Invalid, match="kept for"):
        await keep(db, shop, *chosen)
    assert await find_retention(db, shop.id) == Retention()
