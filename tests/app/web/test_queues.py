# SPDX-License-Identifier: AGPL-3.0-only
"""The page of queues, and the same for programs."""

import msgspec
import pytest
from tests.support.history_events import SOURCE
from tests.support.links import Agent, a_hello, link_to
from tests.support.pages import a_waiting_task, connect_agent, record, visitor
from tests.support.serving import eventually

from queuedeck.domain.accounts.permissions import Role
from queuedeck_agent import wire

OTHER = "ba9876543210"


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


def an_engine(source=SOURCE, queue="emails", **more):
    return wire.EngineInfo(
        "celery", "5.6.3", source, "worker", "celery@pay-3", "prefork", 4, (queue,), **more
    )


def counts(serving, project, *depths, source=SOURCE, trouble=""):
    """An agent tells what it counted just now."""
    now = serving.services.clock()
    snapshot = wire.QueueSnapshot(now, source, depths, trouble)
    serving.services.watches.take(project.id, "c" * 32, snapshot)
    return now


async def row_of(client, project):
    page = (await client.get(f"/p/{project.slug}/queues")).text
    assert '<tbody id="queues">' in page
    return page.partition('<tbody id="queues">')[2].partition("</tbody>")[0]


async def test_counted_queue_shows_depth_age_and_workers(serving, project, ann):
    await record(serving, project, *a_waiting_task())
    connect_agent(serving, project, engines=(an_engine(counts=True),))
    now = serving.services.clock()
    counts(serving, project, wire.QueueDepth("emails", 1_234, 5, 2, 1, now - 250_000_000))
    row = await row_of(ann, project)
    assert "<b>emails</b>" in row
    assert ">1\u202f234</a>" in row
    assert "4 m 1" in row
    assert "5 scheduled" in row
    assert "1 dead" in row
    assert "4 slots" in row
    assert "Active" in row
    assert f'href="/p/{project.slug}/tasks?q=state:queued%20queue:emails"' in row


async def test_page_without_queues_says_how_to_get_them(project, ann):
    page = (await ann.get(f"/p/{project.slug}/queues")).text
    assert "No queue is known yet" in page
    assert f'href="/p/{project.slug}/connect"' in page


async def test_queue_that_nobody_can_count_says_why(serving, project, ann):
    await record(serving, project, *a_waiting_task())
    row = await row_of(ann, project)
    assert "Not counted" in row
    assert "No agent of this broker is connected." in row
    connect_agent(serving, project, engines=(an_engine(no_counts="It is on a <carrier pigeon>."),))
    assert "It is on a &lt;carrier pigeon&gt;." in await row_of(ann, project)


async def test_trouble_of_the_broker_is_shown_and_the_last_count_kept(serving, project, ann):
    connect_agent(serving, project, engines=(an_engine(counts=True),))
    counts(serving, project, wire.QueueDepth("emails", 7))
    counts(serving, project, trouble="ConnectionError: refused")
    watch = serving.services.watches.queues(project.id)[SOURCE, "emails"]
    watch.seen_us -= 60_000_000
    row = await row_of(ann, project)
    assert "ConnectionError: refused" in row
    assert ">7</a>" in row
    assert 'class="pale"' in row


async def test_same_names_on_two_brokers_are_two_queues(serving, project, ann):
    two = (an_engine(counts=True), an_engine(OTHER, counts=True))
    connect_agent(serving, project, engines=two)
    counts(serving, project, wire.QueueDepth("emails", 3))
    counts(serving, project, wire.QueueDepth("emails", 5), source=OTHER)
    row = await row_of(ann, project)
    assert row.count("<b>emails</b>") == 2
    assert OTHER in row
    assert f"source:{SOURCE}" in row


async def test_names_of_queues_are_text(serving, project, ann):
    connect_agent(serving, project, engines=(an_engine(queue="<script>", counts=True),))
    counts(serving, project, wire.QueueDepth("<script>", 3))
    row = await row_of(ann, project)
    assert "<script>" not in row
    assert "&lt;script&gt;" in row


async def test_program_gets_the_same(serving, project):
    await record(serving, project, *a_waiting_task())
    connect_agent(serving, project, engines=(an_engine(counts=True),))
    now = counts(serving, project, wire.QueueDepth("emails", 3))
    token = await serving.token(project)
    async with serving.http(headers={"Authorization": f"Bearer {token}"}) as http:
        answer = await http.get(f"/api/v1/projects/{project.slug}/queues")
    (queue,) = answer.json()["queues"]
    assert (queue["name"], queue["engine"], queue["state"]) == ("emails", "celery", "counted")
    assert (queue["waiting"], queue["scheduled"], queue["oldest_us"]) == (3, None, None)
    assert now <= queue["counted_us"] <= now + 5_000_000
    assert (queue["workers"], queue["slots"]) == (1, 4)
    assert queue["minutes"][-1] == 3
    assert queue["in_per_minute"] > 0
    assert queue["drain_s"] is None


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_every_member_may_look(serving, project, role):
    async with visitor(serving, project, role) as client:
        assert (await client.get(f"/p/{project.slug}/queues")).status_code == 200


async def test_other_projects_have_none(serving, project):
    connect_agent(serving, project, engines=(an_engine(counts=True),))
    counts(serving, project, wire.QueueDepth("emails", 3))
    other = await serving.project("Other")
    async with visitor(serving, other) as bob:
        assert "emails" not in (await bob.get(f"/p/{other.slug}/queues")).text
        assert (await bob.get(f"/p/{project.slug}/queues")).status_code == 404


async def test_snapshot_of_a_source_that_the_agent_does_not_serve_is_not_taken(serving, project):
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        hello = msgspec.structs.replace(a_hello(), engines=(an_engine(counts=True),))
        await agent.socket.send(wire.encode(hello))
        for source in (OTHER, SOURCE):
            snapshot = wire.QueueSnapshot(1, source, (wire.QueueDepth("emails", 3),))
            await agent.socket.send(wire.encode(snapshot))
        await eventually(lambda: serving.services.watches.queues(project.id))
    assert set(serving.services.watches.queues(project.id)) == {(SOURCE, "emails")}
