# SPDX-License-Identifier: AGPL-3.0-only
"""Quorum queues: what holds for a Celery worker on one, and what is refused as on any RabbitMQ."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from tests.support import rabbitmq, spool
from tests.support.celery_worker import Worker, eventually

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery import call as celery_call
from queuedeck_agent.engines.celery import queues
from queuedeck_agent.engines.celery.adapter import CeleryEngine
from queuedeck_agent.engines.commands import within
from queuedeck_agent.errors import CommandRefused

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not rabbitmq.can_make_hosts(), reason="no RabbitMQ here whose virtual hosts can be made"
    ),
]
Order = Callable[..., wire.CommandDone]


class QuorumWorker(Worker):
    """With one quorum queue, on a virtual host of its own."""

    module = "tests.support.celery_quorum_tasks"

    def send(self, name: str, *args: Any, **options: Any) -> str:
        """From a process with the agent, by the application itself."""
        code = (
            f"from {self.module} import app\n"
            f"print(app.send_task('tests.{name}', {args!r}, **{options!r}).id)"
        )
        return self.attached(code)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[QuorumWorker]:
    with rabbitmq.virtual_hosts("quorum") as (url,):
        worker = QuorumWorker(tmp_path, "", {"TEST_QUEUES": url})
        worker.client.conf.update(rabbitmq.quorum_settings(worker.queue), broker_url=url)
        yield worker
        worker.close()


@pytest.fixture
def client(worker: QuorumWorker) -> Celery:
    return worker.client


@pytest.fixture
def order(worker: QuorumWorker, client: Celery) -> Iterator[Order]:
    """Carries out a verb on the queue, from another process of that host."""
    settings = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(worker.spool)}
    allowed = {"QUEUEDECK_ALLOW": "observe,retry,cancel,pause,purge,priority"}
    agent = Agent(config.from_env({**settings, **allowed}))
    engine = CeleryEngine(client, "producer")
    engine.attach(agent)

    def carry_out(verb: str, task_id: str = "", name: str = "", **more: Any) -> wire.CommandDone:
        call = more.pop("call", b"")
        body = wire.CommandBody(
            "0" * 32, agent.family, b"", "shop", verb, engine.info().source, task_id, name, 60,
            queue=worker.queue, **more,
        )  # fmt: skip
        return engine.execute(body, call)

    yield carry_out
    engine.detach()
    agent.stop(0)


def depth(client: Celery, name: str) -> int:
    reader = queues.open_reader(CeleryEngine(client, "producer"))
    try:
        return sum(one.waiting for one in reader.read((name,)))
    finally:
        reader.close()


def kind(client: Celery, name: str) -> bool:
    """Whether RabbitMQ has it as a quorum queue: another declaration of it is refused."""
    with client.connection_for_write() as connection:
        try:
            connection.channel().queue_declare(name, durable=True, auto_delete=False)
        except connection.channel_errors as error:
            return "quorum" in str(error)
    return False


def test_task_runs_and_is_seen_from_publishing_to_its_end(worker: QuorumWorker) -> None:
    worker.start()
    assert kind(worker.client, worker.queue)
    task_id = worker.send("add", 2, 3)
    assert worker.event(wire.TaskSucceeded, task_id).result == b"5"
    assert worker.kinds(task_id) == [
        ("TaskPublished", 1), ("TaskReceived", 1), ("TaskStarted", 1), ("TaskSucceeded", 1),
    ]  # fmt: skip
    assert worker.event(wire.TaskStarted, task_id).queue == worker.queue


def test_depth_and_purge(worker: QuorumWorker, client: Celery, order: Order) -> None:
    for _ in range(3):
        worker.send("add", 1, 1)
    assert within(lambda: depth(client, worker.queue) == 3, 10)
    done = order("purge")
    assert done.affected == 3
    assert within(lambda: depth(client, worker.queue) == 0, 10)


def test_pause_and_resume(worker: QuorumWorker, client: Celery, order: Order) -> None:
    worker.start()
    order("pause")

    def consumers() -> int:
        with client.connection_for_read() as connection:
            told = connection.default_channel.queue_declare(worker.queue, passive=True)
        return int(told.consumer_count)

    eventually(lambda: consumers() == 0)
    task_id = worker.send("add", 1, 1)
    assert within(lambda: depth(client, worker.queue) == 1, 10)
    assert worker.events(wire.TaskStarted, task_id) == []
    order("resume")
    worker.event(wire.TaskSucceeded, task_id)


def test_looking_and_priorities_are_refused_with_the_reason(
    worker: QuorumWorker, order: Order
) -> None:
    task_id = worker.send("add", 1, 1)
    for verb in ("peek", "priority"):
        with pytest.raises(CommandRefused) as refusal:
            order(verb, task_id, "tests.add", details=wire.CommandDetails(priority=3))
        assert refusal.value.code == "unsupported"
        assert "RabbitMQ" in refusal.value.message


def test_task_for_later_is_of_its_queue_though_it_waits_in_others(worker: QuorumWorker) -> None:
    """Celery sends it through RabbitMQ's own delays: exchange and routing key are theirs."""
    worker.start()
    task_id = worker.send("add", 2, 3, countdown=2)
    published = worker.event(wire.TaskPublished, task_id)
    assert published.exchange.startswith("celery_delayed_")
    assert published.queue == worker.queue
    assert published.eta_us
    worker.event(wire.TaskSucceeded, task_id)
    for seen in (wire.TaskReceived, wire.TaskStarted):
        assert worker.event(seen, task_id).queue == worker.queue


def test_retry_of_a_task_for_later_does_not_wait_again(worker: QuorumWorker, order: Order) -> None:
    worker.start()
    task_id = worker.send("add", 2, 3, countdown=2)
    worker.event(wire.TaskSucceeded, task_id)
    published = worker.event(wire.TaskPublished, task_id)
    opened = spool.opened(published)
    call = celery_call.unpack(opened)
    assert (call.exchange, call.routing_key) == ("", worker.queue)
    done = order("retry", task_id, "tests.add", call=opened)
    assert worker.event(wire.TaskSucceeded, done.new_task_id).result == b"5"
