# SPDX-License-Identifier: AGPL-3.0-only
"""Ended commands go with the tasks of their project, what they carried sooner; open ones and the
audit log stay.
"""

import pytest
from tests.support.control import SHELL, audited

from queuedeck.clock import DAY_US
from queuedeck.domain.commands import prune
from queuedeck.domain.commands.acts import request_submit
from queuedeck.domain.commands.delivery import apply_results, claim_for_agent
from queuedeck.domain.commands.entered import Entered
from queuedeck.domain.commands.prune import PAYLOAD_DAYS, delete_commands, forget_payloads
from queuedeck.domain.commands.queries import find_command
from queuedeck.errors import Conflict, NotFound
from queuedeck.history.retention import Kept
from queuedeck_agent import wire

DAY_S = DAY_US / 1_000_000
TYPED = Entered(args=["an order"], queue="mail", delay_s=60)


@pytest.fixture
def agent(desk, project):
    verbs = ("submit", "peek")
    return desk.connect(project.id, verbs=verbs, allow=("observe", "submit")).agent


@pytest.fixture
def kept(project):
    return Kept(project_id=project.id, task_days=30, payload_days=30)


async def submit(desk, project, agent, **more):
    source = agent.hello.engines[0].source
    return await request_submit(desk, project, source, "shop.pay", TYPED, SHELL, **more)


async def ended(desk, project, agent, count=1, **more):
    """So many submissions, carried out now."""
    asked = [await submit(desk, project, agent, **more) for _ in range(count)]
    while claimed := await claim_for_agent(desk, project.id, agent):
        done = [wire.CommandDone(1, one.command.id, found=b'{"seen":1}') for one in claimed]
        await apply_results(desk, project.id, done)
    return asked


async def again(desk, project, command):
    return await find_command(desk.control, project.id, command.id)


async def test_what_was_typed_and_found_goes_after_a_week(desk, project, agent, kept, clock):
    (command,) = await ended(desk, project, agent)
    clock.advance(PAYLOAD_DAYS * DAY_S)
    assert await forget_payloads(desk.control, kept, clock()) == 0
    clock.advance(1)
    assert await forget_payloads(desk.control, kept, clock()) == 1
    left = await again(desk, project, command)
    assert (left.details, left.found) == (wire.CommandDetails(queue="mail", delay_s=60), b"")
    assert (left.has_payload, left.state) == (False, "done")
    assert await forget_payloads(desk.control, kept, clock()) == 0


async def test_it_goes_sooner_where_payloads_do(desk, project, agent, clock):
    await ended(desk, project, agent)
    clock.advance(3 * DAY_S + 1)
    short = Kept(project_id=project.id, task_days=30, payload_days=3)
    assert await forget_payloads(desk.control, short, clock()) == 1


async def test_command_goes_with_the_tasks_and_its_audit_entries_stay(
    desk, project, agent, kept, clock
):
    (command,) = await ended(desk, project, agent)
    log = await audited(desk.control, project.slug)
    clock.advance(30 * DAY_S)
    assert await delete_commands(desk.control, kept, clock()) == 0
    clock.advance(1)
    assert await delete_commands(desk.control, kept, clock()) == 1
    with pytest.raises(NotFound):
        await again(desk, project, command)
    assert await audited(desk.control, project.slug) == log
    assert ("command.submit", "done") in log


async def test_what_has_not_ended_stays(desk, project, agent, kept, clock):
    command = await submit(desk, project, agent)
    clock.advance(400 * DAY_S)
    assert await forget_payloads(desk.control, kept, clock()) == 0
    assert await delete_commands(desk.control, kept, clock()) == 0
    assert (await again(desk, project, command)).details.args


async def test_other_projects_keep_theirs(desk, project, other_project, agent, clock):
    await ended(desk, project, agent)
    clock.advance(400 * DAY_S)
    other = Kept(project_id=other_project.id, task_days=30, payload_days=30)
    assert await forget_payloads(desk.control, other, clock()) == 0
    assert await delete_commands(desk.control, other, clock()) == 0


async def test_request_sent_again_later_is_still_carried_out_once(
    desk, project, agent, kept, clock
):
    (first,) = await ended(desk, project, agent, once="order 7")
    clock.advance(PAYLOAD_DAYS * DAY_S + 1)
    await forget_payloads(desk.control, kept, clock())
    assert (await submit(desk, project, agent, once="order 7")).id == first.id
    source = agent.hello.engines[0].source
    with pytest.raises(Conflict):
        await request_submit(
            desk, project, source, "shop.pay", Entered(queue="other"), SHELL, once="order 7"
        )


@pytest.mark.parametrize("work", [forget_payloads, delete_commands])
async def test_a_slice_costs_the_same_however_much_there_is(
    desk, project, agent, kept, clock, statements, monkeypatch, work
):
    monkeypatch.setattr(prune, "SLICE", 5)
    await ended(desk, project, agent, 12)
    clock.advance(31 * DAY_S)
    went, cost = [], []
    for _ in range(4):
        statements.clear()
        went.append(await work(desk.control, kept, clock()))
        cost.append(statements["SELECT"] + statements["UPDATE"] + statements["DELETE"])
    assert went == [5, 5, 2, 0]
    assert cost[0] == cost[1] == cost[2] <= 3  # Postgres tells which database it is, too.
    assert cost[3] == 1
