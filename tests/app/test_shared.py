# SPDX-License-Identifier: AGPL-3.0-only
"""An answer for many browsers: made once, and again after each change."""

import asyncio

import pytest
from tests.support.history_events import started
from tests.support.pages import record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.live import Live
from queuedeck.shared import MOST_KEPT, Shared

PARTIAL = {"HX-Request": "true"}


class Maker:
    def __init__(self):
        self.made = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self):
        self.made += 1
        answer = str(self.made)
        await self.go_on.wait()
        return answer


async def test_those_who_ask_together_get_one_answer():
    shared, make = Shared(Live()), Maker()
    make.go_on.clear()
    asked = [asyncio.create_task(shared.get(1, "list", make)) for _ in range(20)]
    await asyncio.sleep(0)
    asked[0].cancel()
    make.go_on.set()
    assert set(await asyncio.gather(*asked[1:])) == {"1"}
    assert make.made == 1


async def test_after_a_change_nobody_gets_what_was_begun_before_it():
    live, make = Live(), Maker()
    shared = Shared(live)
    make.go_on.clear()
    early = asyncio.create_task(shared.get(1, "list", make))
    await asyncio.sleep(0)
    live.publish(1, ("tasks",))
    late = asyncio.create_task(shared.get(1, "list", make))
    other = asyncio.create_task(shared.get(2, "list", make))
    await asyncio.sleep(0)
    make.go_on.set()
    assert await asyncio.gather(early, late, other) == ["1", "2", "3"]
    live.publish(2, ("tasks",))
    assert await shared.get(1, "list", make) == "2"


async def test_an_answer_that_failed_fails_for_all_who_waited_and_can_be_asked_for_again():
    live = Live()
    shared = Shared(live)

    async def fail():
        raise OSError("the disk is away")

    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await shared.get(1, "list", fail)
        live.publish(1, ("tasks",))
    assert await shared.get(1, "list", Maker()) == "1"


async def test_what_is_kept_is_bounded():
    shared, make = Shared(Live()), Maker()
    for number in range(3 * MOST_KEPT):
        await shared.get(1, number, make)
    assert len(shared._answers) <= MOST_KEPT


async def test_the_list_that_is_asked_for_again_has_what_came_meanwhile(serving, project):
    async with visitor(serving, project) as ann, visitor(serving, project, Role.VIEWER) as bob:
        for number in range(3):
            one = started(f"t{number}", name=f"shop.job_{number}")
            await record(serving, project, one, lane=f"{number:032x}")
            for who in (ann, bob):
                page = (await who.get(f"/p/{project.slug}/tasks", headers=PARTIAL)).text
                assert f"job_{number}" in page


async def test_the_shared_list_differs_where_permissions_do(serving, project):
    async with visitor(serving, project) as ann, visitor(serving, project, Role.VIEWER) as bob:
        hers = (await ann.get(f"/p/{project.slug}/tasks", headers=PARTIAL)).text
        his = (await bob.get(f"/p/{project.slug}/tasks", headers=PARTIAL)).text
        assert "Connect your first worker" in hers
        assert "Connect your first worker" not in his
