# SPDX-License-Identifier: AGPL-3.0-only
"""Several virtual hosts of one RabbitMQ: queues of the same name stay apart, in every respect."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import rabbitmq, spool
from tests.support.celery_worker import Worker, eventually

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery import queues
from queuedeck_agent.engines.celery.adapter import CeleryEngine
from queuedeck_agent.engines.commands import within
from queuedeck_agent.engines.dramatiq.source import find_source
from queuedeck_agent.engines.sources import name_source

HOSTS = ("amqp://rabbit/shop", "amqp://rabbit/%2Fshop", "amqp://rabbit/", "amqp://rabbit/a%2Fb")


def test_every_virtual_host_is_a_source_of_its_own() -> None:
    names = [name_source("celery", [url]) for url in HOSTS]
    assert len({one.key for one in names}) == len(HOSTS)
    assert [one.name for one in names] == [
        "amqp://rabbit:5672/shop",
        "amqp://rabbit:5672//shop",
        "amqp://rabbit:5672/",
        "amqp://rabbit:5672/a/b",
    ]


@pytest.mark.parametrize("url", ["amqp://rabbit", "amqp://rabbit//", "amqp://rabbit/%2F"])
def test_the_usual_virtual_host_is_one_source_however_it_is_written(url: str) -> None:
    assert name_source("celery", [url]) == name_source("celery", ["amqp://rabbit/"])


def test_dramatiq_names_them_as_celery_does() -> None:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    found = [find_source(RabbitmqBroker(url=url)).name for url in HOSTS]
    assert found == [name_source("dramatiq", [url]).name for url in HOSTS]


class Two:
    """Two workers on one host, with one spool: the same queue on two virtual hosts."""

    def __init__(self, folder: Path, urls: list[str]) -> None:
        self.workers: list[Worker] = []
        for number, url in enumerate(urls):
            place = folder / str(number)
            place.mkdir()
            one = Worker(place, "", {"TEST_QUEUES": url, "QUEUEDECK_SPOOL": str(folder / "spool")})
            one.spool = folder / "spool"
            one.queue = self.workers[0].queue if self.workers else one.queue
            one.client.conf.broker_url = url
            self.workers.append(one)
        self.queue = self.workers[0].queue

    def start(self) -> "Two":
        for number, one in enumerate(self.workers):
            one.start("-n", f"{self.queue}-{number}@%h", slots=1)
        return self

    def close(self) -> None:
        for one in self.workers:
            one.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with rabbitmq.virtual_hosts("left", "right") as urls:
        made = Two(tmp_path, urls)
        yield made
        made.close()


@pytest.fixture
def commander(two: Two, tmp_path: Path) -> Iterator[Callable[[int, str], wire.CommandDone]]:
    """Carries out a verb on the queue of one of the two, from a third process of that host."""
    settings = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(tmp_path / "spool")}
    agent = Agent(config.from_env({**settings, "QUEUEDECK_ALLOW": "pause,purge"}))
    engines = [CeleryEngine(one.client, "producer") for one in two.workers]
    for engine in engines:
        engine.attach(agent)

    def order(number: int, verb: str) -> wire.CommandDone:
        engine = engines[number]
        body = wire.CommandBody(
            "0" * 32, agent.family, b"", "shop", verb, engine.info().source, "", "", 60,
            queue=two.queue,
        )  # fmt: skip
        return engine.execute(body, b"")

    yield order
    for engine in engines:
        engine.detach()
    agent.stop(0)


needs_hosts = pytest.mark.skipif(
    not rabbitmq.can_make_hosts(), reason="no RabbitMQ here whose virtual hosts can be made"
)


@needs_hosts
@pytest.mark.engine
def test_tasks_are_of_the_virtual_host_that_they_ran_on(two: Two) -> None:
    two.start()
    ids = [one.send("add", number, 1) for number, one in enumerate(two.workers)]
    started = [two.workers[0].event(wire.TaskStarted, task_id) for task_id in ids]
    assert [one.queue for one in started] == [two.queue] * 2
    assert started[0].source != started[1].source
    named = {one.source: one.name for one in two.workers[0].events(wire.SourceSeen)}
    assert ["/left" in named[started[0].source], "/right" in named[started[1].source]] == [True] * 2
    assert all("guest" not in name for name in named.values())


@needs_hosts
@pytest.mark.engine
def test_pause_of_one_queue_leaves_its_namesake_alone(
    two: Two, commander: Callable[[int, str], wire.CommandDone]
) -> None:
    two.start()
    left, right = two.workers
    commander(0, "pause")
    eventually(lambda: _is_held(left))
    waits, runs = left.send("add", 1, 1), right.send("add", 2, 2)
    right.event(wire.TaskSucceeded, runs)
    assert left.events(wire.TaskStarted, waits) == []
    commander(0, "resume")
    left.event(wire.TaskSucceeded, waits)


def _is_held(worker: Worker) -> bool:
    """Nobody consumes from its queue any more, by RabbitMQ's own word."""
    with worker.client.connection_for_read() as connection:
        told = connection.default_channel.queue_declare(worker.queue, passive=True)
    return int(told.consumer_count) == 0


@needs_hosts
@pytest.mark.engine
def test_depth_and_purge_are_of_one_virtual_host(
    two: Two, commander: Callable[[int, str], wire.CommandDone]
) -> None:
    for number, one in enumerate(two.workers):
        for _ in range(number + 2):
            one.send("add", 1, 1)

    def depths() -> list[int]:
        found: list[int] = []
        for one in two.workers:
            reader = queues.open_reader(CeleryEngine(one.client, "producer"))
            found += [depth.waiting for depth in reader.read((two.queue,))]
            reader.close()
        return found

    assert within(lambda: depths() == [2, 3], 10)
    assert commander(0, "purge").affected == 2
    assert within(lambda: depths() == [0, 3], 10)
