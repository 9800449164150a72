# SPDX-License-Identifier: AGPL-3.0-only
"""The link by a bare WebSocket on a running server: welcome, acknowledgement, and every refusal."""

import asyncio

import msgspec
import pytest
from tests.support.links import (
    Agent,
    a_hello,
    a_lane,
    a_part,
    a_source,
    link_to,
    published,
    tasks_part,
)
from tests.support.serving import eventually
from websockets.exceptions import ConnectionClosed, InvalidStatus

from queuedeck import ids
from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.projects.service import revoke_agent_key
from queuedeck.errors import Unavailable
from queuedeck.gateway.link import CREDIT_BYTES, Timing
from queuedeck_agent import wire


@pytest.fixture
async def agent(serving, project):
    """An agent that has not said anything yet."""
    async with link_to(serving.url, project.key, project.slug) as socket:
        yield Agent(socket)


async def refused(serving, key, slug, **changes):
    with pytest.raises(InvalidStatus) as caught:
        async with link_to(serving.url, key, slug, **changes):
            pass
    response = caught.value.response
    return response.status_code, msgspec.json.decode(response.body)["error"]["code"]


async def closed(agent, seconds=5):
    """The code with which the server closes."""
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(seconds):
            while True:
                await agent.socket.recv()
    return caught.value.rcvd.code


async def stored(serving, project):
    """Task ids in the history."""
    from queuedeck.history.filters import TaskFilter

    page = await serving.services.history.list_tasks(project.id, TaskFilter(), 200)
    return [task.task_id for task in page.tasks]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"Authorization": None}, (401, "bad_key")),
        ({"Authorization": "Basic eA=="}, (401, "bad_key")),
        ({"Authorization": "Bearer " + ids.new_key("qd_agt_")}, (401, "bad_key")),
        ({"Authorization": "Bearer qd_agt_short"}, (401, "bad_key")),
        ({"Queuedeck-Project": "other"}, (403, "wrong_project")),
        ({"Queuedeck-Project": None}, (403, "wrong_project")),
        ({"Origin": "http://127.0.0.1"}, (403, "origin_refused")),
        ({"Queuedeck-Protocol": "99"}, (426, "protocol")),
        ({"Queuedeck-Protocol": None}, (426, "protocol")),
    ],
)
async def test_upgrade_is_refused_with_a_real_answer(serving, project, changes, answer):
    assert await refused(serving, project.key, project.slug, **changes) == answer


async def test_upgrade_is_refused_for_a_revoked_key(serving, project):
    s = serving.services
    await revoke_agent_key(s.control, s.keyring, project.seen, project.key_id, SYSTEM)
    assert await refused(serving, project.key, project.slug) == (401, "bad_key")


async def test_upgrade_is_refused_with_retry_after_while_stopping(serving, project):
    await serving.app.state["gateway"].stop()
    with pytest.raises(InvalidStatus) as caught:
        async with link_to(serving.url, project.key, project.slug):
            pass
    assert caught.value.response.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_hello_is_answered_with_keys_and_committed_lanes(serving, project, agent):
    lane = a_lane()
    welcome = await agent.greet(a_hello([lane]))
    keyring = serving.services.keyring
    assert welcome.protocol == wire.PROTOCOL
    assert welcome.project == project.slug
    assert welcome.credit_bytes == CREDIT_BYTES
    assert welcome.command_key == keyring.command_public
    assert welcome.command_cert == keyring.command_cert
    assert welcome.committed == {lane: 0}
    assert welcome.checkpoint.startswith("queuedeck")


async def test_parts_are_acknowledged_after_they_are_stored(serving, project, agent):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    await agent.ship(tasks_part(lane, 1, 4))
    await agent.acked(lane, 4)
    assert sorted(await stored(serving, project)) == ["task-2", "task-3", "task-4"]


async def test_acknowledgements_are_cumulative_over_many_frames(agent):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    for first in range(1, 401, 20):
        await agent.ship(tasks_part(lane, first, 20))
    await agent.acked(lane, 400)


async def test_repeated_parts_are_acknowledged_and_stored_once(serving, project, agent):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    for _ in range(3):
        await agent.ship(tasks_part(lane, 1, 3))
        await agent.acked(lane, 3)
    assert sorted(await stored(serving, project)) == ["task-2", "task-3"]
    assert (await serving.services.history.totals(project.id)).events == 3


async def test_gap_is_answered_with_what_is_expected(serving, project, agent):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    await agent.ship(tasks_part(lane, 5, 2))
    nack = await agent.next(wire.Nack)
    assert nack.expected == {lane: 0}
    assert await stored(serving, project) == []


async def test_lanes_go_on_after_a_new_connection(serving, project):
    lane, hello = a_lane(), None
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(hello := a_hello([lane]))
        await agent.ship(tasks_part(lane, 1, 3))
        await agent.acked(lane, 3)
    async with link_to(serving.url, project.key, project.slug) as socket:
        welcome = await Agent(socket).greet(hello)
    assert welcome.committed == {lane: 3}


async def test_bad_record_is_quarantined_and_the_rest_lands(serving, project, agent):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    part = a_part(lane, 3, a_source(), a_source(), published("after"))
    part.events[1] = msgspec.Raw(msgspec.msgpack.encode(["task-sneezed", 1, {"x": 1}]))
    await agent.ship(part)
    await agent.acked(lane, 3)
    assert await stored(serving, project) == ["after"]
    assert (await serving.services.history.totals(project.id)).quarantined == 1


async def test_unknown_kind_of_message_is_passed_over(agent):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    await agent.socket.send(msgspec.msgpack.encode(["from-the-future", 1, 2, 3]))
    await agent.ship(tasks_part(lane, 1, 2))
    await agent.acked(lane, 2)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1 nonsense", 4400),
        (b"", 4400),
        (msgspec.msgpack.encode({"kind": "hello"}), 4400),
        (msgspec.msgpack.encode(["heartbeat", "no number"]), 4400),
        (b"\x91" * 100_000, 4400),
        ("text", 1003),
        (b"\x00" * (wire.MAX_FRAME_BYTES + 1), 1009),
        (wire.encode(wire.Frame([wire.LanePart("zz", 1, [])])), 4400),
        (wire.encode(wire.Frame([tasks_part(a_lane(), 1, wire.MAX_FRAME_EVENTS + 1)])), 1009),
        (wire.encode(a_hello()), 4400),
    ],
    ids=[
        "not msgpack", "empty", "not an array", "wrong field", "deep", "text", "too large",
        "no lane", "too many records", "other agent id",
    ],
)  # fmt: skip
async def test_garbage_closes_its_own_link_only(serving, project, agent, data, code):
    await agent.greet(a_hello())
    async with link_to(serving.url, project.key, project.slug) as socket:
        other, lane = Agent(socket), a_lane()
        await other.greet(a_hello([lane]))
        await agent.socket.send(data)
        assert await closed(agent) == code
        await other.ship(tasks_part(lane, 1, 2))
        await other.acked(lane, 2)


@pytest.mark.parametrize(
    "hello",
    [
        a_hello(agent_id="short"),
        a_hello(nonce=b"short"),
        a_hello(lanes=("../../etc/passwd",)),
        a_hello(warnings=("x" * 5_000,)),
        wire.Heartbeat(1),
    ],
    ids=["agent id", "nonce", "lane", "long text", "no hello"],
)
async def test_first_message_must_be_a_sound_hello(agent, hello):
    await agent.send(hello)
    assert await closed(agent) == 4400


async def test_lane_of_another_project_is_refused(serving, project, agent):
    lane, other = a_lane(), await serving.project("Other")
    await agent.greet(a_hello([lane]))
    await agent.ship(tasks_part(lane, 1, 2))
    await agent.acked(lane, 2)
    async with link_to(serving.url, other.key, other.slug) as socket:
        thief = Agent(socket)
        welcome = await thief.greet(a_hello([lane]))
        assert lane not in welcome.committed
        await thief.ship(tasks_part(lane, 3, 1))
        assert await closed(thief) == 4400
    assert await stored(serving, other) == []


async def test_newer_connection_of_an_agent_replaces_the_older(serving, project, agent):
    hello = a_hello()
    await agent.greet(hello)
    async with link_to(serving.url, project.key, project.slug) as socket:
        await Agent(socket).greet(hello)
        assert await closed(agent) == 4409
        seen = serving.services.registry.agents(project.id)
        assert [(a.agent_id, a.connected) for a in seen] == [(hello.agent_id, True)]


async def test_revoked_key_closes_its_open_link(serving, project, agent):
    await agent.greet(a_hello())
    s = serving.services
    await revoke_agent_key(s.control, s.keyring, project.seen, project.key_id, SYSTEM)
    assert await closed(agent, seconds=5) == 4401


async def test_registry_knows_who_is_connected(serving, project):
    registry = serving.services.registry
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(a_hello())
        await agent.send(wire.Heartbeat(clock_us=5, captured=7))
        assert [a.connected for a in registry.agents(project.id)] == [True]
    await eventually(lambda: not registry.agents(project.id)[0].connected)
    assert registry.agents(project.id)[0].heartbeat.captured == 7


async def test_agent_beyond_its_credit_is_cut_off(serving, project, agent, monkeypatch):
    lane = a_lane()
    await agent.greet(a_hello([lane]))
    held = asyncio.Event()
    record = serving.services.history.record

    async def slow(group):
        await held.wait()
        return await record(group)

    monkeypatch.setattr(serving.services.history, "record", slow)
    big = [published(f"t{n}", args=b"x" * 300_000) for n in range(9)]
    for number, event in enumerate(big, 1):
        await agent.ship(a_part(lane, number, event))
    assert await closed(agent) == 4429
    held.set()


async def test_silent_agent_is_cut_off_and_one_that_beats_is_not(serving, project):
    serving.app.state["gateway"].timing = Timing(silence=0.5, beat=9.0, tick=0.05)
    async with (
        link_to(serving.url, project.key, project.slug) as one,
        link_to(serving.url, project.key, project.slug) as two,
    ):
        silent, alive = Agent(one), Agent(two)
        await silent.greet(a_hello())
        await alive.greet(a_hello())
        closing = asyncio.create_task(closed(silent))
        for _ in range(10):
            await alive.send(wire.Heartbeat(1))
            await asyncio.sleep(0.1)
        assert await closing == 4408
        assert [a.connected for a in serving.services.registry.agents(project.id)] == [True, False]


async def test_agent_that_says_nothing_at_all_is_cut_off(serving, project):
    serving.app.state["gateway"].timing = Timing(hello=0.2)
    async with link_to(serving.url, project.key, project.slug) as socket:
        assert await closed(Agent(socket)) == 4408


async def test_server_says_something_while_nothing_happens(serving, project):
    serving.app.state["gateway"].timing = Timing(beat=0.1, tick=0.05)
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(a_hello())
        assert (await agent.next(wire.Ack, seconds=1)).committed == {}


async def test_store_that_cannot_write_acknowledges_nothing(serving, project, agent, monkeypatch):
    async def full(_group):
        raise Unavailable("The disk is full.")

    lane = a_lane()
    await agent.greet(hello := a_hello([lane]))
    with monkeypatch.context() as patch:
        patch.setattr(serving.services.history, "record", full)
        await agent.ship(tasks_part(lane, 1, 3))
        goodbye = await agent.next()
        assert (goodbye.reason, goodbye.retry_after_s > 0) == ("The disk is full.", True)
        assert await closed(agent) == 4503
    async with link_to(serving.url, project.key, project.slug) as socket:
        again = Agent(socket)
        assert (await again.greet(hello)).committed == {lane: 0}
        await again.ship(tasks_part(lane, 1, 3))
        await again.acked(lane, 3)
