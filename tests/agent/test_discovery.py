# SPDX-License-Identifier: AGPL-3.0-only
"""Counting for the server: on threads of its own, only while it is asked, gently when it fails."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from rq import Queue
from tests.support.celery_worker import BROKER, eventually
from tests.support.far_edge import FarEdge
from tests.support.queue_keys import clear

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.discovery import Discovery
from queuedeck_agent.engines.rq.adapter import RqEngine
from queuedeck_agent.link import Link

MakeAgent = Callable[..., Agent]


@pytest.fixture
def queue() -> Iterator[Queue]:
    client = redis.Redis.from_url(BROKER)
    queue = Queue(f"depth{uuid.uuid4().hex[:10]}", connection=client)
    for number in range(3):
        queue.enqueue(divmod, number, 2)
    yield queue
    queue.delete(delete_jobs=True)
    client.srem("rq:queues", queue.key)
    clear(queue.name)
    client.close()


@pytest.fixture
def agent(make_agent: MakeAgent, queue: Queue) -> Agent:
    agent = make_agent()
    agent.register(RqEngine(queue.connection, "producer"))
    return agent


def order(agent: Agent, *queues: str, every_s: int = 1) -> wire.Observe:
    source = agent.engine_infos()[0].source
    return wire.Observe((wire.Watch(source, queues),), every_s)


def snapshots(discovery: Discovery, many: int = 1) -> list[wire.QueueSnapshot]:
    found: list[wire.QueueSnapshot] = []
    eventually(lambda: (found.extend(discovery.take()), len(found) >= many)[1])
    return found


@pytest.fixture
def discovery(agent: Agent) -> Iterator[Discovery]:
    discovery = Discovery(agent)
    yield discovery
    discovery.stop()


def test_agent_says_whether_it_can_count(agent: Agent, make_agent: MakeAgent) -> None:
    (info,) = agent.engine_infos()
    assert (info.counts, info.no_counts) == (True, "")
    other = make_agent()
    other.register(RqEngine(object(), "producer"))
    (info,) = other.engine_infos()
    assert not info.counts
    assert "single Redis" in info.no_counts


def test_counts_come_again_and_again_while_they_are_wanted(
    agent: Agent, queue: Queue, discovery: Discovery
) -> None:
    discovery.observe(order(agent, queue.name))
    first = snapshots(discovery)[0]
    assert [(one.name, one.waiting) for one in first.queues] == [(queue.name, 3)]
    queue.enqueue(divmod, 3, 2)
    eventually(lambda: [one.queues[0].waiting for one in discovery.take()] == [4])


def test_nothing_is_counted_and_no_connection_kept_when_nobody_asks(
    agent: Agent, queue: Queue, discovery: Discovery
) -> None:
    before = threading.active_count()
    assert discovery.take() == []
    assert threading.active_count() == before
    discovery.observe(order(agent, queue.name))
    snapshots(discovery)
    discovery.observe(None)
    eventually(lambda: not discovery._looks)
    assert discovery.take() == []
    eventually(lambda: threading.active_count() == before)


def test_no_thread_waits_between_two_rounds(
    agent: Agent, queue: Queue, discovery: Discovery
) -> None:
    before = threading.active_count()
    discovery.observe(order(agent, queue.name, every_s=60))
    snapshots(discovery)
    eventually(lambda: threading.active_count() == before)
    assert discovery.take() == []
    assert threading.active_count() == before
    (look,) = discovery._looks.values()
    assert look.reader is not None, "the connection is kept for the next round"


def test_broker_that_does_not_answer_is_asked_more_and_more_rarely(
    make_agent: MakeAgent,
) -> None:
    agent = make_agent()
    away: Any = redis.Redis(host="127.0.0.1", port=1)
    agent.register(RqEngine(away, "producer"))
    discovery = Discovery(agent)
    discovery.observe(order(agent, "mail"))
    try:
        (found,) = snapshots(discovery)
        assert found.queues == ()
        assert "ConnectionError" in found.trouble
        (look,) = discovery._looks.values()
        eventually(lambda: (discovery.take(), look.failed)[1] == 2)
        assert look.not_before > time.monotonic() + 2
        assert look.reader is None
    finally:
        discovery.stop()


def test_reader_is_opened_again_after_an_error(
    agent: Agent, queue: Queue, discovery: Discovery
) -> None:
    discovery.observe(order(agent, queue.name))
    snapshots(discovery)
    (look,) = discovery._looks.values()
    assert look.reader is not None
    broken: Any = look.reader
    broken.client.connection_pool.connection_kwargs["port"] = 1
    broken.client.connection_pool.disconnect()
    broken.client.connection_pool.reset()
    eventually(lambda: any(one.trouble for one in discovery.take()))
    eventually(lambda: any(one.queues for one in discovery.take()))


def test_fork_waits_only_a_moment_for_a_slow_broker(
    agent: Agent, queue: Queue, discovery: Discovery
) -> None:
    link = Link(agent)
    link.discovery = discovery
    discovery.observe(order(agent, queue.name))
    snapshots(discovery)
    with discovery.busy:
        link.park()
        assert link._parked == {threading.get_ident(): [link.busy]}
        link.unpark()
    link.park()
    assert link._parked == {threading.get_ident(): [link.busy, discovery.busy]}
    assert discovery.busy.locked()
    link.unpark()
    assert not link._parked
    snapshots(discovery)


def test_server_asks_and_gets_counts_over_the_link(
    agent: Agent, queue: Queue, edge: FarEdge
) -> None:
    agent.start_link("producer")
    eventually(lambda: edge.welcomed)
    edge.connections[-1].send(wire.encode(order(agent, queue.name)))
    found = eventually(lambda: edge.snapshots)[0]
    assert [(one.name, one.waiting) for one in found.queues] == [(queue.name, 3)]
