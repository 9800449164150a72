# SPDX-License-Identifier: AGPL-3.0-only
"""taskiq: one worker process, tasks on its event loop, a list in Redis."""

import asyncio
from typing import Any

from benchmarks import payload
from benchmarks.overhead import task
from taskiq import compat


def _dump(model: Any) -> Any:
    return model.model_dump(mode="json")


def _validate(kind: Any, value: Any) -> Any:
    return kind.model_validate(value)


if not hasattr(compat, "model_dump"):
    # taskiq-redis 1.0, which redis-py 5 needs, imports what taskiq 0.13 has dropped.
    old: Any = compat
    old.model_dump, old.model_validate = _dump, _validate

from taskiq_redis import ListQueueBroker  # noqa: E402 - only now it can be imported

broker = ListQueueBroker(task.BROKER, queue_name=task.QUEUE)


@broker.task("bench.nothing")
async def nothing(*args: Any, **kwargs: Any) -> None:
    """The same as a coroutine."""
    task.nothing()


def publish(count: int) -> None:
    """Puts the standard payload into the broker."""
    asyncio.run(_publish(count))


async def _publish(count: int) -> None:
    await broker.startup()
    kick: Any = nothing.kiq
    for _ in range(count):
        await kick(*payload.ARGS, **payload.KWARGS)
    await broker.shutdown()
