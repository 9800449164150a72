# SPDX-License-Identifier: AGPL-3.0-only
"""What was on its way when the connection broke goes to the same agent again, and to no other."""

import pytest
from tests.support.commands import SEALED
from tests.support.control import SHELL

from queuedeck.clock import SECOND_US
from queuedeck.domain.commands.again import claim_again, renew_leases
from queuedeck.domain.commands.delivery import LEASE_US, apply_results, claim_for_agent, expire_due
from queuedeck.domain.commands.queries import find_command
from queuedeck.domain.commands.service import DEADLINE_US, request_retry
from queuedeck_agent import wire

LEASE_S = LEASE_US / SECOND_US


@pytest.fixture
async def agent(desk, project):
    await desk.task(project.id)
    return desk.connect(project.id).agent


@pytest.fixture
async def sent(desk, project, agent):
    """A command that this agent was sent, as far as the server knows."""
    await request_retry(desk, project, "celery", "t1", SHELL)
    (claimed,) = await claim_for_agent(desk, project.id, agent)
    return claimed


async def state_of(desk, project, sent):
    return (await find_command(desk.control, project.id, sent.command.id)).state


async def test_agent_that_comes_back_gets_the_same_command(desk, project, agent, sent):
    again = desk.connect(project.id, nonce=b"m" * 16).agent
    (claimed,) = await claim_again(desk, project.id, again)
    assert claimed == sent
    assert claimed.sealed == SEALED


async def test_its_answer_may_take_as_long_again(desk, project, agent, sent, clock):
    clock.advance(LEASE_S - 1)
    await claim_again(desk, project.id, agent)
    clock.advance(LEASE_S - 1)
    assert await expire_due(desk) == 0
    clock.advance(1)
    await expire_due(desk)
    assert await state_of(desk, project, sent) == "unknown"


async def test_what_was_answered_is_not_sent_again(desk, project, agent, sent):
    await apply_results(desk, project.id, [wire.CommandDone(1, sent.command.id, "sent", "t2")])
    assert await claim_again(desk, project.id, agent) == []


async def test_what_is_called_unknown_is_not_sent_again(desk, project, agent, sent, clock):
    clock.advance(LEASE_S)
    await expire_due(desk)
    assert await claim_again(desk, project.id, agent) == []


async def test_nothing_is_sent_again_after_its_deadline(desk, project, agent, sent, clock):
    clock.advance(DEADLINE_US / SECOND_US)
    assert await claim_again(desk, project.id, agent) == []


async def test_another_process_does_not_get_it(desk, project, other_project, agent, sent):
    """The first one may have acted, whatever became of it."""
    other = desk.connect(project.id, agent_id="c" * 32).agent
    assert await claim_again(desk, project.id, other) == []
    assert await claim_for_agent(desk, project.id, other) == []
    assert await claim_again(desk, other_project.id, agent) == []


async def test_agents_have_time_to_come_back_after_a_long_stop_of_the_server(
    desk, project, agent, sent, clock
):
    clock.advance(10 * LEASE_S)
    await renew_leases(desk)
    assert await expire_due(desk) == 0
    assert [one.command.id for one in await claim_again(desk, project.id, agent)] == [
        sent.command.id
    ]
