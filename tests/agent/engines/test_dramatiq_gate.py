# SPDX-License-Identifier: AGPL-3.0-only
"""Pause, drain and pool in a worker that the application starts itself, on both brokers: nothing
is lost, nothing runs twice."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from tests.support import spool
from tests.support.celery_worker import BROKER, eventually

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.engines.dramatiq import boot as dramatiq_boot
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.paused import Paused

pytestmark = pytest.mark.engine

RABBIT = os.environ.get("TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//").rstrip("/") + "/"
"""Without a name behind the last slash pika takes the virtual host `/`."""
Details = wire.CommandDetails


class Shop:
    """An application with a worker of its own, and what its actors did."""

    def __init__(self, broker: Any, queue: str, folder: Path, threads: int = 1) -> None:
        environment = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(folder)}
        self.agent = Agent(config.from_env(environment))
        self.folder, self.broker, self.queue = folder, broker, queue
        boot = dramatiq_boot.follow(broker, lambda: self.agent)
        assert boot is not None
        self.boot = boot
        self.began: list[int] = []
        self.free = threading.Event()
        self.actor = dramatiq.actor(
            self._work, broker=broker, queue_name=queue, actor_name="shop.work", max_retries=0
        )
        self.worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
        self.worker.start()

    def _work(self, number: int) -> None:
        self.began.append(number)
        if number < 0:
            self.free.wait(30)

    @property
    def engine(self) -> Any:
        assert self.boot.engine is not None
        return self.boot.engine

    def order(self, verb: str, queue: str = "", **details: Any) -> wire.CommandDone:
        source = self.engine.source.key
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, "", "", 60,
            queue=queue, details=Details(**details),
        )  # fmt: skip
        done: wire.CommandDone = self.engine.execute(command, b"")
        return done

    def waiting(self) -> int:
        if isinstance(self.broker, RabbitmqBroker):
            try:
                told = self.broker.channel.queue_declare(self.queue, passive=True)
            finally:
                del self.broker.connection
            return int(told.method.message_count)
        return int(self.broker.client.llen(f"{self.broker.namespace}:{self.queue}"))

    def fill(self, waiting: int) -> None:
        """One message that runs, and so many behind it, of which the worker holds some."""
        self.began.clear()
        self.free.clear()
        self.actor.send(-1)
        eventually(lambda: self.began == [-1])
        for number in range(waiting):
            self.actor.send(number)
        eventually(lambda: self.worker.work_queue.qsize() > 0)

    def close(self) -> None:
        self.free.set()
        self.worker.stop(10_000)
        self.agent.stop(0)


def _has_rabbit() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 5672)) == 0


_rabbit = pytest.mark.skipif(not _has_rabbit(), reason="no RabbitMQ on its standard port")


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=_rabbit)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    name = f"g{uuid.uuid4().hex[:10]}"
    if request.param == "redis":
        broker: Any = RedisBroker(url=BROKER, namespace=name)
    else:
        broker = RabbitmqBroker(url=RABBIT, confirm_delivery=True)
    shop = Shop(broker, name, tmp_path)
    yield shop
    shop.close()
    if request.param == "redis":
        for key in broker.client.scan_iter(f"{name}:*"):
            broker.client.delete(key)
    else:
        for kind in ("", ".DQ", ".XQ"):
            broker.channel.queue_delete(f"{name}{kind}")
    broker.close()


def test_what_the_worker_held_goes_back_and_runs_once(shop: Shop) -> None:
    shop.fill(5)
    done = shop.order("pause", shop.queue)
    assert done.verified
    assert "messages that this worker had fetched and not started went back" in done.effect
    assert eventually(lambda: shop.waiting() == 5)
    assert shop.worker.work_queue.qsize() == 0
    shop.free.set()
    assert stays(lambda: shop.began == [-1], 0.5)
    assert shop.order("resume", shop.queue).verified
    eventually(lambda: len(shop.began) == 6)
    assert sorted(shop.began) == [-1, 0, 1, 2, 3, 4]
    assert stays(lambda: len(shop.began) == 6, 0.3)
    kinds = [type(one).__name__ for one in spool.events(shop.folder)]
    assert (kinds.count("TaskStarted"), kinds.count("TaskSucceeded")) == (6, 6)


def test_running_message_is_acknowledged_while_its_queue_is_paused(shop: Shop) -> None:
    """Dramatiq's own pause closes the consumer: on RabbitMQ the message would run once more."""
    shop.fill(1)
    shop.order("pause", shop.queue)
    shop.free.set()
    succeeded = wire.TaskSucceeded
    eventually(lambda: [one for one in spool.events(shop.folder) if isinstance(one, succeeded)])
    assert eventually(lambda: shop.waiting() == 1)
    shop.order("resume", shop.queue)
    eventually(lambda: shop.began == [-1, 0])
    assert stays(lambda: shop.began == [-1, 0], 0.5)


def test_what_was_given_back_no_longer_counts_as_held(shop: Shop) -> None:
    """A worker holds no more than twice its threads: twice others have what it gave back."""
    _give_to_others(shop)
    _give_to_others(shop)
    shop.actor.send(10)
    eventually(lambda: shop.began == [-1, 10])


def _give_to_others(shop: Shop) -> None:
    shop.fill(4)
    shop.order("pause", shop.queue)
    assert eventually(lambda: shop.waiting() == 4)
    assert shop.order("purge", shop.queue).affected == 4
    shop.free.set()
    shop.order("resume", shop.queue)


def test_worker_stops_while_its_queue_is_paused(shop: Shop) -> None:
    shop.fill(3)
    shop.order("pause", shop.queue)
    shop.free.set()
    began = time.monotonic()
    shop.worker.stop(10_000)
    assert time.monotonic() - began < 5
    assert eventually(lambda: shop.waiting() == 3)


def test_paused_before_the_worker_starts(shop: Shop) -> None:
    """Another process of the host has paused it: all of them read one file."""
    folder = shop.agent.spool.folder
    Paused(folder).add(shop.engine.source.key, shop.queue)
    eventually(lambda: shop.engine.gate.is_shut(shop.queue))
    shop.actor.send(1)
    assert stays(lambda: shop.began == [], 0.5)
    Paused(folder).remove(shop.engine.source.key, shop.queue)
    eventually(lambda: shop.began == [1])


def test_delayed_message_comes_into_a_paused_queue_and_waits(shop: Shop) -> None:
    shop.order("pause", shop.queue)
    shop.actor.send_with_options(args=(1,), delay=300)
    assert eventually(lambda: shop.waiting() == 1)
    assert stays(lambda: shop.began == [], 0.3)
    shop.order("resume", shop.queue)
    eventually(lambda: shop.began == [1])


def test_drained_worker_gives_everything_back(shop: Shop) -> None:
    shop.fill(4)
    assert shop.order("drain", worker=shop.engine.worker_name).verified
    assert eventually(lambda: shop.waiting() == 4)
    assert "stays drained" not in shop.order("resume", shop.queue).effect
    shop.free.set()
    assert stays(lambda: shop.began == [-1], 0.4)
    assert shop.order("undrain").verified
    eventually(lambda: sorted(shop.began) == [-1, 0, 1, 2, 3])
    assert "was not drained" in shop.order("undrain").effect


def test_more_threads_run_more_at_once_and_take_more_in_advance(shop: Shop) -> None:
    done = shop.order("pool", amount=2)
    assert (done.verified, done.affected, shop.engine.info().slots) == (True, 2, 3)
    for _ in range(3):
        shop.actor.send(-1)
    eventually(lambda: shop.began == [-1, -1, -1])
    less = shop.order("pool", amount=-2)
    assert (less.verified, shop.engine.info().slots) == (False, 1)
    assert "end with it" in less.effect
    shop.free.set()
    eventually(lambda: sum(one.is_alive() for one in shop.worker.workers) == 1)
    shop.actor.send(7)
    eventually(lambda: shop.began[-1] == 7)


def test_last_thread_and_another_worker_are_left_alone(shop: Shop) -> None:
    with pytest.raises(CommandRefused, match="1 to 256"):
        shop.order("pool", amount=-1)
    with pytest.raises(CommandRefused, match="another worker"):
        shop.order("drain", worker="dramatiq@elsewhere:1")
    with pytest.raises(CommandRefused, match=f"does not take from `nowhere`.*`{shop.queue}`"):
        shop.order("pause", "nowhere")
    with pytest.raises(CommandRefused, match="nobody would start it again"):
        shop.order("restart")


@pytest.mark.parametrize("shop", ["redis"], indirect=True)
def test_shut_worker_is_still_alive_to_redis(shop: Shop) -> None:
    """Without a heartbeat another worker takes what runs here for lost, and runs it too."""
    shop.fill(1)
    shop.order("drain")
    key = f"{shop.broker.namespace}:__heartbeats__"
    before = shop.broker.client.zscore(key, shop.broker.broker_id)
    eventually(lambda: shop.broker.client.zscore(key, shop.broker.broker_id) > before)


def test_detached_broker_has_its_own_methods_again(shop: Shop) -> None:
    assert "consume" in vars(shop.broker)
    shop.engine.detach()
    assert "consume" not in vars(shop.broker)
