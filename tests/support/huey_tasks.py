# SPDX-License-Identifier: AGPL-3.0-only
"""The Huey instances that the agent's tests run in real consumers. This imports nothing of ours.

What ran is written to a Redis list, so that tests can compare the agent's events with the truth.
"""

import hashlib
import os
import time
from typing import Any

import redis
from huey import FileHuey, PriorityRedisHuey, RedisHuey, SqliteHuey, crontab, signals
from huey.api import RetryTask, chord, group
from huey.exceptions import CancelExecution
from huey.serializer import Serializer, SignedSerializer

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUE = os.environ.get("TEST_QUEUE", "tests")
STORAGE = os.environ.get("TEST_STORAGE", "redis")
PLACE = os.environ.get("TEST_PLACE", "")
SERIALIZERS: dict[str, Any] = {
    "": lambda: None,
    "gzip": lambda: Serializer(compression=True),
    "zlib": lambda: Serializer(compression=True, use_zlib=True),
    "signed": lambda: SignedSerializer(secret="signing"),
}


def make(name: str) -> Any:
    """An instance on the storage that the test wants."""
    serializer = SERIALIZERS[os.environ.get("TEST_SERIALIZER", "")]()
    if os.environ.get("TEST_LOCAL_TIME"):
        return RedisHuey(name, url=BROKER, utc=False)
    if STORAGE == "sqlite":
        return SqliteHuey(name, filename=PLACE, serializer=serializer)
    if STORAGE == "file":
        return FileHuey(name, path=PLACE, serializer=serializer)
    if STORAGE == "priority":
        return PriorityRedisHuey(name, url=BROKER, serializer=serializer)
    return RedisHuey(name, url=BROKER, serializer=serializer)


huey = make(QUEUE)
other = make(f"{QUEUE}other")


def told(*words: object) -> None:
    """Writes down what happened, in Redis."""
    client = redis.Redis.from_url(BROKER)
    client.rpush(f"told:{QUEUE}", " ".join(str(word) for word in words))
    client.close()


@huey.task()
def add(x: int, y: int) -> int:
    return x + y


@other.task()
def elsewhere(x: int) -> int:
    return x


@huey.task(context=True)
def digest(*args: Any, task: Any = None, **kwargs: Any) -> str:
    told("digest", task.id, hashlib.sha256(repr((args, kwargs)).encode()).hexdigest())
    return "done"


@huey.task()
def login(user: str, password: str) -> str:
    return user


@huey.task()
def fail(secret: str = "none") -> None:
    raise ValueError(f"cannot log in with password={secret}")


@huey.task(retries=2, retry_delay=0.2)
def again() -> None:
    raise KeyError("not yet")


@huey.task(context=True)
def once_more(task: Any = None) -> str:
    """Asks for a retry by itself: Huey leaves its count of retries as it is."""
    client = redis.Redis.from_url(BROKER)
    tries = client.incr(f"told:{QUEUE}:{task.id}")
    client.expire(f"told:{QUEUE}:{task.id}", 60)
    client.close()
    if int(str(tries)) < 3:
        raise RetryTask("once more", delay=0.1 if tries == 2 else None)
    return "at last"


@huey.task(retries=1)
def given_up() -> None:
    raise CancelExecution("no use", retry=False)


@huey.pre_execute()
def veto(task: Any) -> None:
    if task.name == "vetoed":
        raise CancelExecution("not today")


@huey.task()
def vetoed() -> None:
    told("vetoed")


@huey.task(context=True)
def sleep(seconds: float, task: Any = None) -> str:
    told("sleeps", task.id, os.getpid())
    time.sleep(seconds)
    told("slept", task.id)
    return "slept"


@huey.task(context=True)
def limited(task: Any = None) -> None:
    told("sleeps", task.id, os.getpid())
    while True:
        time.sleep(0.02)
        task.check_timeout()


@huey.task()
def vanishes(code: int) -> None:
    """Its process is gone, without any clean-up."""
    told("vanishes", os.getpid())
    os._exit(code)


@huey.task(retries=1)
def limited_twice() -> None:
    time.sleep(30)


@huey.task()
@huey.rate_limit("refused", 1, 3600, retry=False)
def refused_often() -> str:
    return "not refused"


@huey.task()
@huey.rate_limit("again", 1, 1)
def again_later() -> str:
    return "not now"


@huey.task()
def calls() -> str:
    """Calls others as functions: these are no tasks of their own."""
    add.call_local(1, 2)
    add.func(1, 2)
    return "done"


@huey.task()
def leaves() -> None:
    raise SystemExit(3)


@huey.task()
@huey.lock_task("one")
def locked() -> str:
    return "alone"


@huey.task(context=True)
def parent(task: Any = None) -> str:
    child = add(1, 2)
    told("child", task.id, child.id)
    return child.id


@huey.task()
def total(numbers: list[int]) -> int:
    return sum(numbers)


@huey.task()
def note_error(error: Any) -> str:
    return type(error).__name__


@huey.task()
def odd_result() -> float:
    return float("nan")


class Awkward:
    """Its `repr` raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@huey.task()
def awkward(thing: Any) -> str:
    return type(thing).__name__


if os.environ.get("TEST_PERIODIC"):

    @huey.periodic_task(crontab())
    def every_minute() -> str:
        told("periodic")
        return "tick"


if os.environ.get("TEST_RECEIVER"):

    @huey.signal(signals.SIGNAL_EXECUTING)
    def raises(*_: Any) -> None:
        raise RuntimeError("a receiver of the application")


def pipeline() -> str:
    """Three tasks, one after the other: their ids."""
    results = huey.enqueue(add.s(1, 1).then(add, 2).then(add, 3))
    return " ".join(result.id for result in results)


def chorded() -> str:
    """A chord of two: the ids of its members and of its callback."""
    sent = huey.enqueue(chord([add.s(1, 1), add.s(2, 2)], total.s()))
    return " ".join([*(one.id for one in sent.results), sent.callback.id])


def grouped() -> str:
    """A group of two: the ids of its members."""
    return " ".join(one.id for one in huey.enqueue(group([add.s(1, 1), add.s(2, 2)])))


def twice() -> str:
    """One task object, sent two times: Huey has no objection."""
    task = add.s(1, 1)
    huey.enqueue(task)
    huey.enqueue(task)
    return str(task.id)


def refused() -> str:
    """A storage that cannot take the task."""
    broken = RedisHuey(f"{QUEUE}broken", host="127.0.0.1", port=1)
    task = broken.task()(lambda: None)
    made = task.s()
    try:
        broken.enqueue(made)
    except redis.ConnectionError:
        return str(made.id)
    return "it was taken"


def at_once() -> list[Any]:
    """Immediate mode, and out of it again: the results."""
    huey.immediate = True
    results = [add(2, 3).get(), fail.call_local is not None]
    huey.immediate = False
    return results


def message_of(task_id: str) -> Any:
    """What a consumer without the agent would read from the queue."""
    return next(task.args for task in huey.pending() if task.id == task_id)
