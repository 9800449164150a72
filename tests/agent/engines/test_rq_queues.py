# SPDX-License-Identifier: AGPL-3.0-only
"""How deep RQ's queues are, on a real Redis."""

import datetime
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from rq import Queue, SimpleWorker
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import clear, unchanged

from queuedeck_agent.engines.rq import queues
from queuedeck_agent.engines.rq.adapter import RqEngine


@pytest.fixture
def queue() -> Iterator[Queue]:
    client = redis.Redis.from_url(BROKER)
    queue = Queue(f"depth{uuid.uuid4().hex[:10]}", connection=client)
    yield queue
    queue.delete(delete_jobs=True)
    client.srem("rq:queues", queue.key)
    clear(queue.name)
    client.close()


@pytest.fixture
def reader(queue: Queue) -> Iterator[Any]:
    engine = RqEngine(queue.connection, "producer")
    assert queues.refusal(engine) == ""
    reader = queues.open_reader(engine)
    yield reader
    reader.close()


def test_depth_and_age_are_those_of_the_list(queue: Queue, reader: Any) -> None:
    before = time.time_ns() // 1_000
    for number in range(3):
        queue.enqueue(divmod, number, 2)
    after = time.time_ns() // 1_000
    with unchanged(queue.name):
        (found,) = reader.read((queue.name,))
    assert (found.waiting, found.scheduled, found.taken, found.dead) == (3, 0, 0, 0)
    assert before - 1_000_000 <= found.oldest_us <= after
    assert found.consumers == 0


def test_scheduled_and_failed_jobs_stand_apart(queue: Queue, reader: Any) -> None:
    queue.enqueue_in(datetime.timedelta(hours=1), divmod, 3, 2)
    queue.enqueue(divmod, 3, 0)
    queue.enqueue(divmod, 3, 2)
    worker = SimpleWorker([queue], connection=queue.connection)
    worker.work(burst=True, max_jobs=1)
    queue.enqueue(divmod, 3, 2)
    (found,) = reader.read((queue.name,))
    assert (found.waiting, found.scheduled, found.taken, found.dead) == (2, 1, 0, 1)


def test_looking_takes_nothing_away_from_workers(queue: Queue, reader: Any) -> None:
    jobs = [queue.enqueue(divmod, number, 2) for number in range(5)]
    reader.read((queue.name,))
    worker = SimpleWorker([queue], connection=queue.connection)
    worker.work(burst=True)
    assert [job.return_value() for job in jobs] == [divmod(number, 2) for number in range(5)]
    assert reader.read((queue.name,))[0].waiting == 0


def test_key_of_another_kind_is_unknown_and_harms_no_other(queue: Queue, reader: Any) -> None:
    queue.enqueue(divmod, 3, 2)
    queue.connection.set(f"rq:queue:{queue.name}odd", "text")
    odd, good = reader.read((f"{queue.name}odd", queue.name))
    assert (odd.waiting, good.waiting) == (-1, 1)
