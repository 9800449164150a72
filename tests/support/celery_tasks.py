# SPDX-License-Identifier: AGPL-3.0-only
"""The Celery application that the agent's tests run in a real worker. It imports nothing of ours.

What ran is written to a Redis list, so that tests can compare the agent's events with the truth.
"""

import hashlib
import os
import signal
import sys
import threading
import time
from typing import Any

import redis
from celery import Celery, Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUE = os.environ.get("TEST_QUEUE", "tests")

app = Celery("tests", broker=os.environ.get("TEST_QUEUES", BROKER), backend=BROKER)
app.conf.update(
    task_default_queue=QUEUE,
    result_expires=300,
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    accept_content=os.environ.get("TEST_ACCEPT", "json,pickle").split(","),
    beat_schedule={"every second": {"task": "tests.add", "schedule": 1.0, "args": (1, 1)}},
)
if os.environ.get("TEST_CANCEL"):
    app.conf.worker_cancel_long_running_tasks_on_connection_loss = True
if os.environ.get("TEST_PROTOCOL"):
    app.conf.task_protocol = int(os.environ["TEST_PROTOCOL"])


def told(*words: object) -> None:
    """Writes down what happened, in the broker."""
    client = redis.Redis.from_url(BROKER)
    client.rpush(f"told:{QUEUE}", " ".join(str(word) for word in words))
    client.close()


@app.task(name="tests.add")
def add(x: int, y: int, **_: Any) -> int:
    return x + y


@app.task(name="tests.digest", bind=True)
def digest(self: Task, *args: Any, **kwargs: Any) -> str:
    told("digest", self.request.id, hashlib.sha256(repr((args, kwargs)).encode()).hexdigest())
    return "done"


@app.task(name="tests.login")
def login(user: str, password: str) -> str:
    return user


@app.task(name="tests.fail")
def fail(secret: str = "none") -> None:
    raise ValueError(f"cannot log in with password={secret}")


@app.task(name="tests.again", bind=True, max_retries=2)
def again(self: Task) -> None:
    raise self.retry(exc=KeyError("not yet"), countdown=0.1)


@app.task(name="tests.ignored")
def ignored() -> None:
    raise Ignore


@app.task(name="tests.rejected", acks_late=True)
def rejected() -> None:
    raise Reject("no", requeue=False)


@app.task(name="tests.leaves")
def leaves() -> None:
    raise SystemExit(3)


@app.task(name="tests.sleep", bind=True)
def sleep(self: Task, seconds: float) -> str:
    try:
        told("sleeps", self.request.id, os.getpid())
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        told("limited", self.request.id)
        raise
    return "slept"


@app.task(name="tests.meets", bind=True)
def meets(self: Task, number: int) -> str:
    """Ends when so many of its kind run at the same time."""
    client = redis.Redis.from_url(BROKER)
    here = f"meets:{QUEUE}"
    client.sadd(here, self.request.id)
    client.expire(here, 300)
    while client.scard(here) < number:
        time.sleep(0.01)
    client.close()
    return "met"


@app.task(name="tests.threads")
def threads() -> dict[str, bool]:
    """By name: whether it is a thread of the system. A greenlet has no frame of its own there."""
    frames = sys._current_frames()
    return {one.name: one.ident in frames for one in threading.enumerate()}


@app.task(name="tests.inside")
def inside() -> str:
    """Calls others as functions, and eagerly: these are no tasks of their own."""
    total([add(1, 1), add.apply((1, 2)).result])
    fail.apply(("nothing",))
    again.apply()
    ignored.apply()
    return "done"


@app.task(name="tests.vanishes")
def vanishes() -> None:
    """Its process is killed, as the kernel does it when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="tests.late", bind=True, acks_late=True, reject_on_worker_lost=True)
def late(self: Task) -> str:
    """Its process is killed the first time."""
    told("late", self.request.id, os.getpid())
    client = redis.Redis.from_url(BROKER)
    runs = int(client.incr(f"late:{QUEUE}:{self.request.id}"))
    client.close()
    if runs == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@app.task(
    name="tests.over",
    bind=True,
    acks_late=True,
    acks_on_failure_or_timeout=False,
    time_limit=1,
)
def over(self: Task) -> str:
    """Runs over its hard limit the first time. Its message is not acknowledged then."""
    told("over", self.request.id, os.getpid())
    client = redis.Redis.from_url(BROKER)
    runs = int(client.incr(f"over:{QUEUE}:{self.request.id}"))
    client.close()
    if runs == 1:
        time.sleep(30)
    return "done"


@app.task(name="tests.patient", bind=True, acks_late=True)
def patient(self: Task, seconds: float) -> None:
    told("waits", self.request.id, os.getpid())
    time.sleep(seconds)
    told("waited", self.request.id)


class Stumbling(Task):
    """An application's own handler that fails, after Celery has stored the result."""

    def on_success(self, *_: Any) -> None:
        raise RuntimeError("after all went well")


@app.task(name="tests.stumbles", base=Stumbling)
def stumbles() -> str:
    return "done"


@app.task(name="tests.unnoticed", ignore_result=True)
def unnoticed() -> str:
    return "done"


@app.task(name="tests.leaves_a_child")
def leaves_a_child(seconds: float, greenlet: bool = False) -> int:
    """A process that goes on after the task, and after its worker."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if greenlet:
            time.sleep(seconds)
        else:  # as nothing that gevent patches
            signal.sigtimedwait([signal.SIGUSR2], seconds)
        os._exit(0)
    return child


@app.task(name="tests.replaced", bind=True)
def replaced(self: Task) -> None:
    raise self.replace(add.s(2, 3))


@app.task(name="tests.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


class Awkward:
    """Its `repr` raises; only pickle can carry it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@app.task(name="tests.awkward", serializer="pickle", argsrepr="hidden")
def awkward(thing: Any) -> str:
    return type(thing).__name__


@app.task(name="tests.odd_result")
def odd_result() -> float:
    return float("nan")
