# SPDX-License-Identifier: AGPL-3.0-only
"""The Dramatiq application that the agent's tests run in real workers. It imports nothing of ours.

What ran is written to a Redis list, so that tests can compare the agent's events with the truth.
"""

import asyncio
import hashlib
import os
import time
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.encoder import PickleEncoder
from dramatiq.middleware import AsyncIO, Middleware, SkipMessage, default_middleware
from dramatiq.middleware.time_limit import TimeLimit

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUE = os.environ.get("TEST_QUEUE", "tests")


class Skipping(Middleware):
    """Skips what says so; is added last, so after those of the agent."""

    def before_process_message(self, broker: Any, message: Any) -> None:
        if message.options.get("skip"):
            raise SkipMessage("not today")


others = [one() for one in default_middleware if one is not TimeLimit]
usual = [TimeLimit(interval=50), AsyncIO(), *others]
none = os.environ.get("TEST_MIDDLEWARES") == "none"
broker = RedisBroker(url=BROKER, namespace=QUEUE, middleware=[] if none else usual)
broker.add_middleware(Skipping())
dramatiq.set_broker(broker)
if os.environ.get("TEST_ENCODER") == "pickle":
    dramatiq.set_encoder(PickleEncoder())


def told(*words: object) -> None:
    """Writes down what happened, in the broker."""
    client = redis.Redis.from_url(BROKER)
    client.rpush(f"told:{QUEUE}", " ".join(str(word) for word in words))
    client.close()


def heard(word: str) -> list[str]:
    """What was written down by this word."""
    client = redis.Redis.from_url(BROKER, decode_responses=True)
    lines: Any = client.lrange(f"told:{QUEUE}", 0, -1)
    client.close()
    return [line for line in lines if line.split()[0] == word]


def actor(**options: Any) -> Any:
    if none:
        options = {"actor_name": options["actor_name"]}
    return dramatiq.actor(queue_name=QUEUE, **options)


@actor(actor_name="tests.add")
def add(x: int, y: int) -> int:
    return x + y


@actor(actor_name="tests.digest")
def digest(*args: Any, **kwargs: Any) -> None:
    told("digest", hashlib.sha256(repr((args, kwargs)).encode()).hexdigest())


@actor(actor_name="tests.login")
def login(user: str, password: str) -> None:
    told("login", user)


@actor(actor_name="tests.fail", max_retries=0)
def fail(secret: str = "none") -> None:
    raise ValueError(f"cannot log in with password={secret}")


@actor(actor_name="tests.again", max_retries=2, min_backoff=1, max_backoff=5)
def again() -> None:
    raise KeyError("not yet")


@actor(actor_name="tests.expected", throws=LookupError)
def expected() -> None:
    raise LookupError("as planned")


@actor(actor_name="tests.slow", max_retries=0, time_limit=100)
def slow() -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        time.sleep(0.01)


@actor(actor_name="tests.sleep", max_retries=0)
def sleep(seconds: float) -> None:
    told("sleeps", os.getpid())
    time.sleep(seconds)


@actor(actor_name="tests.notified", max_retries=1, min_backoff=1, notify_shutdown=True)
def notified() -> None:
    """Hears of the end of its worker by an exception."""
    told("notified", os.getpid())
    until = time.monotonic() + 20
    while time.monotonic() < until and len(heard("notified")) < 2:
        time.sleep(0.01)


@actor(actor_name="tests.vanish", max_retries=0)
def vanish() -> None:
    os._exit(9)


@actor(actor_name="tests.outer")
def outer() -> None:
    add.send(1, 1)


@actor(actor_name="tests.outer_async")
async def outer_async() -> str:
    await asyncio.sleep(0)
    add.send(2, 2)
    return "sent"


@actor(actor_name="tests.fail_async", max_retries=0)
async def fail_async() -> None:
    raise RuntimeError("async")
