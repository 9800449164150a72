# SPDX-License-Identifier: AGPL-3.0-only
"""How deep Celery's queues are, on a real Redis and a real RabbitMQ, while no worker runs."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import clear, unchanged

from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.celery import queues
from queuedeck_agent.engines.celery.adapter import CeleryEngine
from queuedeck_agent.engines.commands import within

RABBIT = os.environ.get("TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
PREFIX = f"prefix{uuid.uuid4().hex[:6]}:"


@pytest.fixture
def name() -> Iterator[str]:
    name = f"depth{uuid.uuid4().hex[:10]}"
    yield name
    clear(name)


@pytest.fixture(params=["", PREFIX], ids=["plain", "key prefix"])
def app(request: Any) -> Iterator[Celery]:
    app = Celery("depth", broker=BROKER)
    app.conf.broker_transport_options = {"global_keyprefix": request.param}
    yield app
    app.close()


@pytest.fixture
def reader(app: Celery) -> Iterator[Any]:
    reader = queues.open_reader(CeleryEngine(app, "producer"))
    yield reader
    reader.close()


def send(app: Celery, name: str, at: int, **options: Any) -> None:
    headers = {"queuedeck": {"at": at}} if at else {}
    app.send_task("shop.add", (1, 2), queue=name, headers=headers, **options)


def test_depth_and_age_are_those_of_the_list(app: Celery, name: str, reader: Any) -> None:
    for at in (1_000, 2_000, 3_000):
        send(app, name, at)
    with unchanged(name):
        (found,) = reader.read((name,))
    assert (found.name, found.waiting, found.oldest_us) == (name, 3, 1_000)
    assert (found.scheduled, found.taken, found.dead, found.consumers) == (-1, -1, -1, -1)


def test_lists_of_all_priorities_are_one_queue(app: Celery, name: str, reader: Any) -> None:
    for priority, at in ((0, 3_000), (6, 1_000), (9, 2_000)):
        send(app, name, at, priority=priority)
    (found,) = reader.read((name,))
    assert (found.waiting, found.oldest_us) == (3, 1_000)


def test_age_is_unknown_without_an_agent_at_the_publisher(
    app: Celery, name: str, reader: Any
) -> None:
    send(app, name, 0)
    (found,) = reader.read((name,))
    assert (found.waiting, found.oldest_us) == (1, 0)


def test_many_queues_take_two_round_trips(app: Celery, name: str, reader: Any) -> None:
    send(app, name, 1_000)
    asked: list[int] = []
    ask = reader.ask
    reader.ask = lambda commands: asked.append(len(commands)) or ask(commands)
    found = reader.read((name, *(f"{name}-{number}" for number in range(20))))
    assert [one.waiting for one in found] == [1, *[0] * 20]
    assert asked == [21 * 4, 1]


def test_a_large_next_message_is_not_read_again_and_again(
    app: Celery, name: str, reader: Any
) -> None:
    headers = {"queuedeck": {"at": 7}}
    big = "x" * (2 * redis_reader.LARGE_BYTES)
    app.send_task("shop.add", (big,), queue=name, headers=headers)
    ages = [reader.read((name,))[0].oldest_us for _ in range(redis_reader.LARGE_ROUNDS + 1)]
    assert ages == [7, *[0] * (redis_reader.LARGE_ROUNDS - 1), 7]


def test_broker_that_is_away_raises_soon(name: str) -> None:
    app = Celery("away", broker="redis://127.0.0.1:1/0")
    began = time.monotonic()
    with pytest.raises(Exception, match="refused"):
        queues.open_reader(CeleryEngine(app, "producer"))
    assert time.monotonic() - began < 20
    app.close()


def test_other_brokers_are_refused_with_their_name() -> None:
    app = Celery("memory", broker="memory://")
    assert "memory" in queues.refusal(CeleryEngine(app, "producer"))
    app.close()


def _has_rabbit() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 5672)) == 0


@pytest.mark.skipif(not _has_rabbit(), reason="no RabbitMQ on its standard port")
def test_rabbitmq_counts_messages_and_consumers() -> None:
    name = f"depth{uuid.uuid4().hex[:10]}"
    app = Celery("rabbit", broker=RABBIT)
    engine = CeleryEngine(app, "producer")
    assert queues.refusal(engine) == ""
    for _ in range(3):
        app.send_task("shop.add", (1, 2), queue=name)
    reader = queues.open_reader(engine)
    try:
        # What was published is counted a moment later.
        assert within(lambda: reader.read((name,))[0].waiting == 3, 10)
        found = {one.name: one for one in reader.read(("nobody-declared-it", name))}
        assert list(found) == [name]
        assert (found[name].waiting, found[name].consumers) == (3, 0)
    finally:
        reader.close()
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(name)
        app.close()
