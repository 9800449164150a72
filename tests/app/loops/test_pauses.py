# SPDX-License-Identifier: AGPL-3.0-only
"""The loop of pauses asks who comes, and tells browsers of every step."""

from types import SimpleNamespace

import pytest
from tests.support import queues as support
from tests.support.commands import Desk
from tests.support.control import KEYRING, SHELL, FakeClock, control_db, history_at

from queuedeck.domain.projects.service import create_project
from queuedeck.domain.queues.pauses import pause_queue
from queuedeck.loops.pauses import KeepPauses


@pytest.fixture
async def shop(tmp_path):
    """A desk on SQLite with a project whose queue is paused, and nobody connected."""
    clock = FakeClock()
    history = history_at(tmp_path, clock)
    await history.open()
    async with control_db(tmp_path) as db:
        desk = Desk(db, history, clock)
        project = await create_project(db, KEYRING, "Shop", SHELL, clock=clock)
        left = support.enter(desk, project.id)
        await pause_queue(desk, project, support.MAIL, SHELL, reason="deploy", for_s=600)
        desk.registry.disconnect(left)
        yield SimpleNamespace(desk=desk, id=project.id, clock=clock, loop=KeepPauses(desk))
    await history.close()


def version(shop):
    return shop.desk.live.version(shop.id)


async def test_worker_that_comes_is_asked_and_its_answer_is_told_to_browsers(shop):
    worker = support.enter(shop.desk, shop.id)
    await shop.loop.round()
    (command,) = await support.take(shop.desk, shop.id, worker)
    assert command.verb == "pause"
    heard = shop.desk.live.subscribe(shop.id)
    await support.tell(shop.desk, shop.id, command.id)
    await shop.loop.round()
    assert "pauses" in await anext(heard.batches(0, 1))


async def test_round_without_news_tells_nobody(shop):
    support.enter(shop.desk, shop.id)
    await shop.loop.round()
    before = version(shop)
    await shop.loop.round()
    assert version(shop) == before


async def test_pause_whose_time_is_over_ends_without_any_worker(shop):
    shop.clock.advance(601)
    await shop.loop.round()
    worker = support.enter(shop.desk, shop.id, support.a_worker(host="new"))
    await shop.loop.round()
    assert await support.take(shop.desk, shop.id, worker) == []
