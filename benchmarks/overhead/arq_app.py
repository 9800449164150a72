# SPDX-License-Identifier: AGPL-3.0-only
"""arq: one process, ten jobs at a time."""

import asyncio
from typing import Any, ClassVar

import arq
from arq.connections import RedisSettings
from arq.worker import func
from benchmarks import payload
from benchmarks.overhead import task

SETTINGS = RedisSettings.from_dsn(task.BROKER)


async def nothing(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
    """The same as a coroutine."""
    task.nothing()


class WorkerSettings:
    """What the command line reads."""

    functions: ClassVar[list[Any]] = [func(nothing, name="bench.nothing")]
    redis_settings = SETTINGS
    queue_name = task.QUEUE
    keep_result = 0


def publish(count: int) -> None:
    """Puts the standard payload into the broker."""
    asyncio.run(_publish(count))


async def _publish(count: int) -> None:
    pool = await arq.create_pool(SETTINGS, default_queue_name=task.QUEUE)
    for _ in range(count):
        await pool.enqueue_job("bench.nothing", *payload.ARGS, **payload.KWARGS)
    await pool.aclose(close_connection_pool=True)
