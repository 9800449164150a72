# SPDX-License-Identifier: AGPL-3.0-only
"""How deep arq's queues are, on a real Redis."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from arq.connections import ArqRedis, RedisSettings, create_pool
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import clear, unchanged

from queuedeck_agent import wire
from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.arq import queues

Work = Callable[[ArqRedis], Any]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"depth{uuid.uuid4().hex[:10]}"
    yield name
    clear(name)


def with_pool(work: Work) -> redis_reader.RedisReader:
    """Does something with arq's own pool; gives a reader made from that pool's settings."""

    async def do() -> redis_reader.RedisReader:
        pool = await create_pool(RedisSettings.from_dsn(BROKER))
        await work(pool)
        assert redis_reader.refusal(pool.connection_pool) == ""
        reader = queues.Reader(redis_reader.open_client(pool.connection_pool))
        await pool.aclose()
        return reader

    return asyncio.run(do())


def read(reader: redis_reader.RedisReader, name: str) -> wire.QueueDepth:
    (found,) = reader.read((name,))
    reader.close()
    return found


def test_due_and_deferred_jobs_are_counted_apart(name: str) -> None:
    async def send(pool: ArqRedis) -> None:
        for number in range(3):
            await pool.enqueue_job("add", _queue_name=name, _job_id=f"{name}{number}")
        await pool.enqueue_job("add", _queue_name=name, _defer_by=3_600, _job_id=f"{name}later")

    before = time.time_ns() // 1_000
    reader = with_pool(send)
    with unchanged(name):
        found = read(reader, name)
    assert (found.waiting, found.scheduled, found.taken) == (3, 1, 0)
    assert before - 1_000 <= found.oldest_us <= time.time_ns() // 1_000


def test_jobs_that_run_do_not_wait(name: str) -> None:
    """arq leaves a job in its queue until it has ended."""

    async def send(pool: ArqRedis) -> None:
        for number, at in enumerate((1_000, 2_000, 3_000)):
            await pool.zadd(name, {f"{name}{number}": at})

    reader = with_pool(send)
    client = redis.Redis.from_url(BROKER)
    client.set(f"arq:in-progress:{name}0", "1")
    client.close()
    found = read(reader, name)
    assert (found.waiting, found.taken, found.oldest_us) == (2, 1, 2_000_000)


def test_what_is_asked_does_not_grow_with_the_queue(name: str) -> None:
    async def send(pool: ArqRedis) -> None:
        many = range(3 * queues.LOOKED_AT)
        await pool.zadd(name, {f"{name}{number}": number + 1 for number in many})

    reader = with_pool(send)
    asked: list[int] = []
    ask = reader.ask
    reader.ask = lambda commands: asked.append(len(commands)) or ask(commands)  # type: ignore[method-assign,func-returns-value]
    assert read(reader, name).waiting == 3 * queues.LOOKED_AT
    assert asked == [3, queues.LOOKED_AT]
