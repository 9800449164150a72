# SPDX-License-Identifier: AGPL-3.0-only
"""How deep Dramatiq's queues are, on a real Redis."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.encoder import PickleEncoder
from dramatiq.message import Message
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import clear, unchanged

from queuedeck_agent.engines.dramatiq import queues
from queuedeck_agent.engines.dramatiq.adapter import DramatiqEngine


@pytest.fixture
def broker() -> Iterator[RedisBroker]:
    broker = RedisBroker(url=BROKER, namespace=f"depth{uuid.uuid4().hex[:10]}", middleware=[])
    broker.declare_queue("mail")
    yield broker
    clear(broker.namespace)
    broker.close()


@pytest.fixture
def reader(broker: RedisBroker) -> Iterator[Any]:
    engine = DramatiqEngine(broker, "producer")
    assert queues.refusal(engine) == ""
    reader = queues.open_reader(engine)
    yield reader
    reader.close()


def send(broker: RedisBroker, delay: int | None = None, **options: Any) -> None:
    message: Message[Any] = Message("mail", "shop.add", (1, 2), {}, options)
    broker.enqueue(message, delay=delay)


def test_depth_and_age_are_those_of_the_list(broker: RedisBroker, reader: Any) -> None:
    before = time.time_ns() // 1_000
    for _ in range(3):
        send(broker)
    with unchanged(broker.namespace):
        (found,) = reader.read(("mail",))
    assert (found.waiting, found.scheduled, found.taken, found.dead) == (3, 0, 0, 0)
    assert before - 1_000 <= found.oldest_us <= time.time_ns() // 1_000


def test_delayed_taken_and_dead_ones_stand_apart(broker: RedisBroker, reader: Any) -> None:
    for _ in range(4):
        send(broker)
    send(broker, delay=3_600_000)
    consumer = broker.consume("mail", prefetch=2, timeout=100)
    first, second = next(consumer), next(consumer)
    assert first is not None
    assert second is not None
    consumer.nack(first)
    (found,) = reader.read(("mail",))
    assert (found.waiting, found.scheduled, found.taken, found.dead) == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("stamp", "since"),
    [({"at": 5_000}, 5_000), ({"at": 5_000, "d": 9_000}, 9_000)],
    ids=["sent", "delayed and due"],
)
def test_age_counts_from_when_it_could_be_taken(
    broker: RedisBroker, reader: Any, stamp: dict[str, int], since: int
) -> None:
    send(broker, queuedeck=stamp)
    assert reader.read(("mail",))[0].oldest_us == since


def test_messages_of_other_encoders_are_not_decoded(broker: RedisBroker, reader: Any) -> None:
    plain = dramatiq.get_encoder()
    dramatiq.set_encoder(PickleEncoder())
    try:
        send(broker)
        (found,) = reader.read(("mail",))
    finally:
        dramatiq.set_encoder(plain)
    assert (found.waiting, found.oldest_us) == (1, 0)


def test_other_brokers_are_refused() -> None:
    assert "single Redis" in queues.refusal(DramatiqEngine(StubBroker(), "producer"))
