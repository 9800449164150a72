# SPDX-License-Identifier: AGPL-3.0-only
"""The arq settings that the agent's tests run in a real worker. This imports nothing of ours.

What ran is written to a Redis list, so that tests can compare the agent's events with the truth.
"""

import asyncio
import hashlib
import os
import time
from typing import Any, ClassVar

import arq
import redis
from arq import cron, func
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from arq.worker import Retry

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUE = os.environ.get("TEST_QUEUE", "tests")


def told(*words: object) -> None:
    """Writes down what happened, in Redis."""
    client = redis.Redis.from_url(BROKER)
    client.rpush(f"told:{QUEUE}", " ".join(str(word) for word in words))
    client.close()


async def add(ctx: dict[str, Any], x: int, y: int) -> int:
    return x + y


async def digest(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> str:
    text = repr((args, kwargs))
    told("digest", ctx["job_id"], hashlib.sha256(text.encode()).hexdigest())
    return "done"


async def login(ctx: dict[str, Any], user: str, password: str) -> str:
    return user


async def enter(ctx: dict[str, Any], user: str, password: str) -> str:
    """Only the worker knows this one."""
    return user


async def fail(ctx: dict[str, Any], secret: str = "none") -> None:
    raise ValueError(f"cannot log in with password={secret}")


async def again(ctx: dict[str, Any], defer: float | None = None) -> str:
    if ctx["job_try"] < 3:
        raise Retry(defer=defer)
    return "at last"


async def blocks(ctx: dict[str, Any], seconds: float) -> None:
    """Code that does not await stops the worker's loop."""
    told("blocks", ctx["job_id"])
    time.sleep(seconds)  # noqa: ASYNC251


class Unwritable(Exception):
    """No serializer can write it."""

    def __reduce__(self) -> Any:
        raise TypeError("not this one")


async def fails_unwritably(ctx: dict[str, Any]) -> None:
    raise Unwritable("cannot be stored")


async def leaves(ctx: dict[str, Any]) -> None:
    raise SystemExit(3)


async def for_ever(ctx: dict[str, Any]) -> None:
    raise Retry


async def sleep(ctx: dict[str, Any], seconds: float) -> str:
    told("sleeps", ctx["job_id"], ctx["job_try"])
    await asyncio.sleep(seconds)
    return "slept"


async def parent(ctx: dict[str, Any]) -> str:
    job = await ctx["redis"].enqueue_job("add", 1, 2)
    return str(job.job_id)


async def odd_result(ctx: dict[str, Any]) -> Any:
    """No serializer can write it."""
    return lambda: None


async def tick(ctx: dict[str, Any]) -> str:
    return "tick"


class WorkerSettings:
    functions: ClassVar[list[Any]] = [
        func(add), func(digest), func(login), func(again), fail, for_ever, parent, odd_result,
        enter,
        func(sleep, timeout=1, name="limited"), func(sleep, timeout=1, keep_result=0, name="hasty"),
        func(add, keep_result=0, name="forgotten"), sleep,
        func(sleep, max_tries=1, name="once"), blocks, fails_unwritably, leaves,
    ]  # fmt: skip
    cron_jobs: ClassVar[list[Any]] = (
        [cron(tick, second=set(range(60)))] if os.environ.get("TEST_CRON") else []
    )
    queue_name = QUEUE
    redis_settings = RedisSettings.from_dsn(BROKER)
    poll_delay = 0.05
    keep_result = 60
    max_tries = 3
    retry_jobs = not os.environ.get("TEST_NO_RETRIES")
    allow_abort_jobs = bool(os.environ.get("TEST_ABORT"))


if os.environ.get("TEST_PACKED"):
    import json

    WorkerSettings.job_serializer = lambda message: json.dumps(message).encode()  # type: ignore[attr-defined]
    WorkerSettings.job_deserializer = json.loads  # type: ignore[attr-defined]

_pool: ArqRedis | None = None


async def pool() -> ArqRedis:
    """The connection of a web process."""
    global _pool
    if _pool is None:
        _pool = await arq.create_pool(
            WorkerSettings.redis_settings,
            default_queue_name=QUEUE,
            job_serializer=vars(WorkerSettings).get("job_serializer"),
        )
    return _pool


async def send(name: str, *args: Any, **named: Any) -> str | None:
    """The id of the job, or None when arq did not take it."""
    job = await (await pool()).enqueue_job(name, *args, **named)
    return job.job_id if job is not None else None


async def many(count: int) -> list[str | None]:
    """Jobs that are sent at the same time."""
    return list(await asyncio.gather(*(send("add", number, 0) for number in range(count))))


async def result(job_id: str) -> Any:
    """As the application waits for it."""
    return await Job(job_id, await pool(), QUEUE).result(timeout=10, poll_delay=0.05)


async def abort(job_id: str) -> bool:
    """As the application asks for it."""
    return await Job(job_id, await pool(), QUEUE).abort(timeout=10, poll_delay=0.05)


async def forget(key: str) -> int:
    """A key that expired, or was deleted."""
    return int(await (await pool()).delete(key))


async def overwrite(job_id: str, data: str) -> None:
    """A message of something else."""
    await (await pool()).set(f"arq:job:{job_id}", data.encode())
