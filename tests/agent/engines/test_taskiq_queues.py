# SPDX-License-Identifier: AGPL-3.0-only
"""How deep taskiq's queues are, on a real Redis."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from taskiq import InMemoryBroker
from taskiq.kicker import AsyncKicker
from taskiq.serializers.pickle import PickleSerializer
from tests.support import taskiq_pins  # noqa: F401 - before taskiq_redis
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import clear, unchanged

from queuedeck_agent.engines.taskiq import queues
from queuedeck_agent.engines.taskiq.run import Stamp, write_stamp

from taskiq_redis import ListQueueBroker, PubSubBroker, RedisStreamBroker  # isort: skip


@pytest.fixture
def name() -> Iterator[str]:
    name = f"depth{uuid.uuid4().hex[:10]}"
    yield name
    clear(name)


class Engine:
    """What the reader wants to know of an adapter."""

    def __init__(self, *brokers: Any) -> None:
        self.brokers = list(brokers)


def sent(broker: Any, *stamps: int) -> Any:
    """Sends a message for each stamp; gives an open reader."""

    async def send() -> None:
        await broker.startup()
        for at in stamps:
            labels: dict[str, Any] = {}
            if at:
                write_stamp(labels, Stamp(at))
            await AsyncKicker("shop.add", broker, labels).kiq(1, 2)
        await broker.shutdown()

    asyncio.run(send())
    engine = Engine(broker)
    assert queues.refusal(engine) == ""
    return queues.open_reader(engine)


def test_depth_and_age_are_those_of_the_list(name: str) -> None:
    reader = sent(ListQueueBroker(BROKER, queue_name=name), 1_000, 2_000, 3_000)
    with unchanged(name):
        (found,) = reader.read((name,))
    reader.close()
    assert (found.waiting, found.oldest_us) == (3, 1_000)
    assert (found.scheduled, found.taken, found.dead) == (-1, -1, -1)


def test_age_is_unknown_without_an_agent_at_the_sender(name: str) -> None:
    reader = sent(ListQueueBroker(BROKER, queue_name=name), 0)
    (found,) = reader.read((name,))
    reader.close()
    assert (found.waiting, found.oldest_us) == (1, 0)


def test_pickled_messages_are_not_decoded(name: str) -> None:
    broker = ListQueueBroker(BROKER, queue_name=name).with_serializer(PickleSerializer())
    reader = sent(broker, 1_000)
    (found,) = reader.read((name,))
    reader.close()
    assert (found.waiting, found.oldest_us) == (1, 0)


def test_stream_counts_what_the_group_has_not_read(name: str) -> None:
    before = time.time_ns() // 1_000
    reader = sent(RedisStreamBroker(BROKER, queue_name=name), 1, 1, 1)
    client = redis.Redis.from_url(BROKER)
    taken: Any = client.xreadgroup("taskiq", "someone", {name: ">"}, count=2)
    client.xack(name, "taskiq", taken[0][1][0][0])
    client.close()
    with unchanged(name):
        (found,) = reader.read((name,))
    reader.close()
    assert (found.waiting, found.taken) == (1, 1)
    assert before - 1_000_000 <= found.oldest_us <= time.time_ns() // 1_000 + 1_000


@pytest.mark.parametrize(
    "make",
    [InMemoryBroker, lambda: PubSubBroker(BROKER)],
    ids=["in memory", "channels"],
)
def test_brokers_that_keep_nothing_are_refused(make: Any) -> None:
    engine = Engine(make())
    assert type(engine.brokers[0]).__name__ in queues.refusal(engine)


def test_lists_and_streams_of_one_redis_are_counted_together(name: str) -> None:
    one = ListQueueBroker(BROKER, queue_name=f"{name}-list")
    other = RedisStreamBroker(BROKER, queue_name=f"{name}-stream")
    sent(one, 1_000, 2_000).close()
    sent(other, 1_000).close()
    reader = queues.open_reader(Engine(one, other))
    found = reader.read((f"{name}-list", f"{name}-stream", f"{name}-unknown"))
    reader.close()
    waiting = {depth.name.removeprefix(name): depth.waiting for depth in found}
    assert waiting == {"-list": 2, "-stream": 1, "-unknown": 0}
