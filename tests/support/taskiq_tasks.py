# SPDX-License-Identifier: AGPL-3.0-only
"""The taskiq application that the agent's tests run in real workers. It imports nothing of ours.

What ran is written to a Redis list, so that tests can compare the agent's events with the truth.
"""

import asyncio
import hashlib
import os
import time
from typing import Annotated, Any

import redis
from taskiq import Context, SimpleRetryMiddleware, SmartRetryMiddleware, TaskiqDepends
from taskiq.abc.middleware import TaskiqMiddleware
from taskiq.exceptions import NoResultError
from tests.support import taskiq_pins  # noqa: F401 - before taskiq_redis

from taskiq_redis import (  # isort: skip
    ListQueueBroker,
    RedisAsyncResultBackend,
    RedisStreamBroker,
)

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUE = os.environ.get("TEST_QUEUE", "tests")


class Refusing(TaskiqMiddleware):
    """A middleware of the application that fails before a task."""

    def pre_execute(self, message: Any) -> Any:
        if message.labels.get("refuse"):
            raise PermissionError("not this one")
        return message


retries: dict[str, TaskiqMiddleware] = {
    "simple": SimpleRetryMiddleware(),
    "keeping": SimpleRetryMiddleware(no_result_on_retry=False),
    "smart": SmartRetryMiddleware(default_delay=0.1, use_jitter=False),
}
CurrentContext = Annotated[Context, TaskiqDepends()]
kind = RedisStreamBroker if os.environ.get("TEST_STREAM") else ListQueueBroker
soon: Any = {"idle_timeout": 1000} if os.environ.get("TEST_STREAM") == "soon" else {}
broker = (
    kind(BROKER, queue_name=QUEUE, **soon)
    .with_result_backend(RedisAsyncResultBackend(BROKER, prefix_str=QUEUE, result_ex_time=60))
    .with_middlewares(retries[os.environ.get("TEST_RETRIES", "simple")], Refusing())
)


def told(*words: object) -> None:
    """Writes down what happened, in the broker."""
    client = redis.Redis.from_url(BROKER)
    client.rpush(f"told:{QUEUE}", " ".join(str(word) for word in words))
    client.close()


@broker.task("tests.add")
async def add(x: int, y: int) -> int:
    return x + y


@broker.task("tests.add_sync")
def add_sync(x: int, y: int) -> int:
    return x + y


@broker.task("tests.digest")
async def digest(*args: Any, **kwargs: Any) -> None:
    told("digest", hashlib.sha256(repr((args, kwargs)).encode()).hexdigest())


@broker.task("tests.login")
async def login(user: str, password: str) -> None:
    told("login", user)


@broker.task("tests.fail")
async def fail(secret: str = "none") -> None:
    raise ValueError(f"cannot log in with password={secret}")


@broker.task("tests.again", retry_on_error=True, max_retries=3)
async def again() -> None:
    raise KeyError("not yet")


@broker.task("tests.requeued")
async def requeued(context: CurrentContext) -> str:
    if not context.message.labels.get("X-Taskiq-requeue"):
        await context.requeue()
    return "second time"


@broker.task("tests.rejected")
async def rejected(context: CurrentContext) -> None:
    context.reject()


@broker.task("tests.ignored")
async def ignored() -> None:
    raise NoResultError


@broker.task("tests.slow", timeout=0.1)
async def slow() -> None:
    await asyncio.sleep(20)


@broker.task("tests.sleep")
async def sleep(seconds: float) -> None:
    told("sleeps", os.getpid())
    await asyncio.sleep(seconds)


@broker.task("tests.sleep_sync")
def sleep_sync(seconds: float) -> None:
    told("sleeps", os.getpid())
    time.sleep(seconds)
    told("slept", os.getpid())


@broker.task("tests.vanish")
def vanish() -> None:
    told("vanishes")
    os._exit(9)


@broker.task("tests.outer")
async def outer() -> str:
    return (await add.kiq(1, 1)).task_id


@broker.task("tests.waits_alone")
def waits_alone() -> None:
    time.sleep(0.2)
