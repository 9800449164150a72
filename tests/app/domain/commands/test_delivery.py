# SPDX-License-Identifier: AGPL-3.0-only
"""Commands on their way: one agent, once; signed; answered, late, twice or never."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.support.commands import SEALED, SOURCE
from tests.support.control import KEYRING, SHELL, audited

from queuedeck.clock import SECOND_US
from queuedeck.domain.commands.delivery import (
    LEASE_US,
    apply_results,
    build_command,
    claim_for_agent,
    expire_due,
)
from queuedeck.domain.commands.queries import CommandState, find_command
from queuedeck.domain.commands.service import DEADLINE_US, request_retry
from queuedeck_agent import wire


@pytest.fixture
async def command(desk, project):
    await desk.task(project.id)
    desk.connect(project.id)
    return await request_retry(desk, project, "celery", "t1", SHELL)


@pytest.fixture
def agent(desk, project, command):
    return desk.registry.connections(project.id)[0].agent


@pytest.fixture
async def sent(desk, project, agent):
    (claimed,) = await claim_for_agent(desk, project.id, agent)
    return claimed.command


async def state_of(desk, project, command):
    return (await find_command(desk.control, project.id, command.id)).state


def done(command, **more):
    return wire.CommandDone(1, command.id, "sent again", "t2", **more)


async def test_claim_marks_the_command_as_sent_to_the_agent(desk, project, agent, sent, clock):
    found = await find_command(desk.control, project.id, sent.id)
    assert (found.state, found.agent_id, found.sent_us) == ("sent", agent.agent_id, clock())
    assert await claim_for_agent(desk, project.id, agent) == []


async def test_of_two_agents_one_gets_the_command(desk, project, command):
    agents = [desk.connect(project.id, agent_id=f"{n:032x}").agent for n in range(6)]
    claims = await asyncio.gather(*(claim_for_agent(desk, project.id, a) for a in agents))
    assert sum(len(claim) for claim in claims) == 1


@pytest.mark.parametrize(
    "changes",
    [{"source": "0" * 12}, {"verbs": ("cancel",)}, {"allow": ("observe",)}, {"seal_ids": ()}],
    ids=["other broker", "not able", "not allowed", "other sealing key"],
)
async def test_agent_that_cannot_does_not_get_it(desk, project, command, changes):
    unfit = desk.connect(project.id, agent_id="c" * 32, **changes).agent
    assert await claim_for_agent(desk, project.id, unfit) == []
    assert await state_of(desk, project, command) is CommandState.PENDING


async def test_agent_of_another_project_does_not_get_it(desk, other_project, command, agent):
    assert await claim_for_agent(desk, other_project.id, agent) == []


async def test_command_past_its_deadline_is_not_sent(desk, project, agent, clock):
    clock.advance(DEADLINE_US / SECOND_US)
    assert await claim_for_agent(desk, project.id, agent) == []


async def test_order_is_signed_and_tied_to_the_connection(desk, project, agent):
    (claimed,) = await claim_for_agent(desk, project.id, agent)
    order = build_command(KEYRING, agent.hello, claimed)
    key = Ed25519PublicKey.from_public_bytes(KEYRING.command_public)
    key.verify(order.signature, wire.COMMAND_CONTEXT + order.body)
    body = wire.decode_command_body(order.body)
    assert (body.command_id, body.verb) == (claimed.command.id, "retry")
    assert (body.agent_id, body.nonce, body.project) == (agent.agent_id, b"n" * 16, "shop")
    assert (body.source, body.task_id, body.task_name) == (SOURCE, "t1", "shop.pay")
    assert (body.sealed, body.queue, body.actor) == (SEALED, "mail", "cli:root")
    assert body.audit_seq == claimed.command.audit_seq > 0


async def test_answer_is_recorded_with_its_audit_entry(desk, project, sent, clock):
    heard = desk.live.subscribe(project.id)
    assert await apply_results(desk, project.id, [done(sent)]) == 1
    found = await find_command(desk.control, project.id, sent.id)
    assert (found.state, found.effect, found.new_task_id) == ("done", "sent again", "t2")
    assert (found.verified, found.finished_us) == (True, clock())
    assert (await audited(desk.control, "shop"))[-1] == ("command.retry", "done")
    assert f"command:{sent.id}" in await anext(heard.batches(0, 1))


async def test_same_answer_again_changes_nothing(desk, project, sent, clock):
    await apply_results(desk, project.id, [done(sent), done(sent)])
    before, log = (
        await find_command(desk.control, project.id, sent.id),
        await audited(desk.control, "shop"),
    )
    clock.advance(60)
    failed = wire.CommandFailed(1, sent.id, "error", "other")
    assert await apply_results(desk, project.id, [done(sent), failed]) == 0
    assert await find_command(desk.control, project.id, sent.id) == before
    assert await audited(desk.control, "shop") == log


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("refused", "failed"),
        ("error", "failed"),
        ("unsupported", "failed"),
        ("expired", "expired"),
        ("unknown", "unknown"),
    ],
)
async def test_failure_says_what_the_agent_said(desk, project, sent, code, state):
    await apply_results(desk, project.id, [wire.CommandFailed(1, sent.id, code, "why")])
    found = await find_command(desk.control, project.id, sent.id)
    assert (found.state, found.code, found.message) == (state, code, "why")
    assert (await audited(desk.control, "shop"))[-1] == ("command.retry", state)


async def test_answers_to_other_projects_commands_are_passed_over(desk, other_project, sent):
    assert await apply_results(desk, other_project.id, [done(sent)]) == 0


async def test_other_events_and_unknown_commands_are_passed_over(desk, project, sent):
    loss = wire.Loss(1, 1, {"task-started": 1})
    unknown = wire.CommandDone(1, "f" * 32)
    assert await apply_results(desk, project.id, [loss, unknown, None]) == 0
    assert await state_of(desk, project, sent) is CommandState.SENT


async def test_command_that_nobody_took_expires_at_its_deadline(desk, project, command, clock):
    clock.advance(DEADLINE_US / SECOND_US - 1)
    assert await expire_due(desk) == 0
    clock.advance(1)
    assert await expire_due(desk) == 1
    found = await find_command(desk.control, project.id, command.id)
    assert found.state is CommandState.EXPIRED
    assert "nothing was done" in found.message
    assert (await audited(desk.control, "shop"))[-1] == ("command.retry", "expired")
    assert await expire_due(desk) == 0


async def test_command_without_an_answer_becomes_unknown(desk, project, sent, agent, clock):
    clock.advance(LEASE_US / SECOND_US)
    assert await expire_due(desk) == 1
    found = await find_command(desk.control, project.id, sent.id)
    assert found.state is CommandState.UNKNOWN
    assert "may have acted" in found.message
    assert await claim_for_agent(desk, project.id, agent) == []


async def test_late_answer_replaces_unknown(desk, project, sent, clock):
    clock.advance(LEASE_US / SECOND_US)
    await expire_due(desk)
    assert await apply_results(desk, project.id, [done(sent)]) == 1
    found = await find_command(desk.control, project.id, sent.id)
    assert (found.state, found.code, found.message) == ("done", "", "")


async def test_task_can_be_retried_again_after_the_first_is_done(desk, project, sent):
    await apply_results(desk, project.id, [done(sent)])
    again = await request_retry(desk, project, "celery", "t1", SHELL)
    assert again.id != sent.id


async def test_sent_command_is_still_the_open_one(desk, project, sent):
    assert (await request_retry(desk, project, "celery", "t1", SHELL)).id == sent.id
