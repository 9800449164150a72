# SPDX-License-Identifier: AGPL-3.0-only
"""Commands on their way from the API to an agent and back, over a bare WebSocket."""

import asyncio
from urllib.parse import quote

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.support.links import (
    NOW,
    SOURCE,
    Agent,
    a_hello,
    a_lane,
    a_part,
    a_source,
    an_engine,
    link_to,
    published,
)

from queuedeck.domain.accounts.permissions import Role
from queuedeck_agent import wire

SEAL = "0a1b2c3d"
SEALED = SEAL.encode() + b"\x07" * 60


@pytest.fixture
async def api(serving, project):
    headers = {"Authorization": f"Bearer {await serving.token(project, Role.OPERATOR)}"}
    async with serving.http(headers=headers) as client:
        client.base_url = f"{serving.url}/api/v1/projects/{project.slug}"
        yield client


@pytest.fixture
async def agent(serving, project):
    async with link_to(serving.url, project.key, project.slug) as socket:
        yield Agent(socket)


def able(lane, role="worker"):
    engines = (an_engine("retry", "cancel", role=role),)
    return a_hello([lane], engines=engines, seal_ids=(SEAL,))


async def a_failed_task(agent, lane, task_id):
    """Report a task that failed, with its sealed call."""
    await agent.ship(
        a_part(
            lane,
            4,
            a_source(),
            published(task_id, queue="payments", sealed=SEALED),
            wire.TaskStarted(NOW, SOURCE, task_id, 1, "shop.add", "w1"),
            wire.TaskFailed(NOW + 9, SOURCE, task_id, 1, "ValueError", "no"),
        )
    )
    await agent.acked(lane, 4)


async def command_state(api, command_id):
    return (await api.get(f"/commands/{command_id}")).json()["command"]


@pytest.mark.parametrize("task_id", ["plain", "a/b:c%2F d", "ünï/../x"])
async def test_retry_reaches_the_agent_signed_and_its_answer_comes_back(
    serving, project, api, agent, task_id
):
    lane, path = a_lane(), f"/tasks/celery/{quote(task_id, safe='')}"
    welcome = await agent.greet(hello := able(lane))
    await a_failed_task(agent, lane, task_id)
    answer = await api.post(f"{path}/retries")
    assert answer.status_code == 202, answer.text
    asked = answer.json()["command"]

    command = await agent.next(wire.Command)
    key = Ed25519PublicKey.from_public_bytes(welcome.command_key)
    key.verify(command.signature, wire.COMMAND_CONTEXT + command.body)
    body = wire.decode_command_body(command.body)
    assert (body.command_id, body.task_id, body.verb) == (asked["id"], task_id, "retry")
    assert (body.agent_id, body.nonce) == (hello.agent_id, hello.nonce)
    assert (body.project, body.source, body.queue) == (project.slug, SOURCE, "payments")
    assert body.sealed == SEALED

    done = wire.CommandDone(NOW + 20, body.command_id, "published again", "new-task")
    await agent.ship(a_part(lane, 5, done))
    await agent.acked(lane, 5)
    ended = await command_state(api, asked["id"])
    assert (ended["state"], ended["new_task_id"]) == ("done", "new-task")
    actions = [entry["action"] for entry in (await api.get("/audit")).json()["entries"]]
    assert actions[:2] == ["command.retry", "task.retry"]


async def test_command_waits_for_an_agent_that_is_away(serving, project, api):
    lane = a_lane()
    hello = able(lane)
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(hello)
        await a_failed_task(agent, lane, "t1")
    asked = (await api.post("/tasks/celery/t1/retries")).json()["command"]
    assert (await command_state(api, asked["id"]))["state"] == "pending"
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(hello)
        body = wire.decode_command_body((await agent.next(wire.Command)).body)
        assert body.command_id == asked["id"]
    assert (await command_state(api, asked["id"]))["state"] == "sent"


async def test_command_without_an_answer_is_sent_again_on_the_next_connection(
    serving, project, api
):
    lane, bodies = a_lane(), []
    first = able(lane)
    second = msgspec.structs.replace(first, nonce=b"another nonce 16")
    for hello in (first, second):
        async with link_to(serving.url, project.key, project.slug) as socket:
            agent = Agent(socket)
            await agent.greet(hello)
            if hello is first:
                await a_failed_task(agent, lane, "t1")
                await api.post("/tasks/celery/t1/retries")
            bodies.append(wire.decode_command_body((await agent.next(wire.Command)).body))
            with pytest.raises(TimeoutError):
                await agent.next(wire.Command, seconds=0.3)
    assert msgspec.structs.replace(bodies[0], nonce=second.nonce) == bodies[1]
    assert bodies[0].nonce == first.nonce


async def test_command_is_sent_to_one_agent_once(serving, project, api, agent):
    lane = a_lane()
    await agent.greet(able(lane))
    await a_failed_task(agent, lane, "t1")
    async with link_to(serving.url, project.key, project.slug) as socket:
        other = Agent(socket)
        await other.greet(able(a_lane()))
        await api.post("/tasks/celery/t1/retries")
        await api.post("/tasks/celery/t1/retries")
        got = [asyncio.create_task(a.next(wire.Command, seconds=1)) for a in (agent, other)]
        await asyncio.wait(got)
    assert sorted(type(task.exception()).__name__ for task in got) == ["NoneType", "TimeoutError"]
    with pytest.raises(TimeoutError):
        await agent.next(wire.Command, seconds=0.3)


async def test_command_goes_to_a_worker_rather_than_to_a_sender(serving, project, api, agent):
    lane = a_lane()
    await agent.greet(able(lane, role="producer"))
    await a_failed_task(agent, lane, "t1")
    async with link_to(serving.url, project.key, project.slug) as socket:
        worker = Agent(socket)
        await worker.greet(able(a_lane()))
        asked = (await api.post("/tasks/celery/t1/retries")).json()["command"]
        body = wire.decode_command_body((await worker.next(wire.Command)).body)
    assert body.command_id == asked["id"]


async def test_failure_of_a_command_is_shown(api, agent):
    lane = a_lane()
    await agent.greet(able(lane))
    await a_failed_task(agent, lane, "t1")
    asked = (await api.post("/tasks/celery/t1/retries")).json()["command"]
    failed = wire.CommandFailed(NOW + 20, asked["id"], "refused", "The host allows no retry.")
    await agent.ship(a_part(lane, 5, failed))
    await agent.acked(lane, 5)
    ended = await command_state(api, asked["id"])
    assert (ended["state"], ended["code"]) == ("failed", "refused")
    assert ended["message"] == "The host allows no retry."


async def test_verb_that_the_host_does_not_allow_is_refused_with_the_reason(api, agent):
    lane = a_lane()
    hello = a_hello([lane], engines=(an_engine("retry"),), seal_ids=(SEAL,), allow=("observe",))
    await agent.greet(hello)
    await a_failed_task(agent, lane, "t1")
    answer = await api.post("/tasks/celery/t1/retries")
    assert answer.status_code == 409
    assert "QUEUEDECK_ALLOW" in answer.json()["error"]["message"]
