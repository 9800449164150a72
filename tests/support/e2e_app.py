# SPDX-License-Identifier: AGPL-3.0-only
"""The Celery project of the end-to-end tests. It knows nothing of Queuedeck.

Each task writes into Redis what happened to it, which is the truth that the tests compare with.
"""

import hashlib
import json
import os
import signal
import time

from celery import Celery, Task
from celery.exceptions import Ignore, Reject
from redis import Redis

PREFIX = os.environ.get("E2E_PREFIX", "e2e:")
URL = os.environ.get("E2E_BROKER", "redis://127.0.0.1:6379/0")
OPTIONS = {"global_keyprefix": PREFIX}

_clients: dict[int, Redis] = {}


def log(task, what, **more):
    """Append one line about this task: what happened, in which attempt."""
    client = _clients.setdefault(os.getpid(), Redis.from_url(URL))
    line = {
        "id": task.request.id,
        "name": task.name,
        "attempt": task.request.retries + 1,
        "what": what,
        **more,
    }
    client.rpush(f"{PREFIX}log", json.dumps(line))


class LoggingTask(Task):
    def before_start(self, task_id, args, kwargs):
        log(self, "started", arguments=hash_of(args, kwargs), pid=os.getpid())

    def on_success(self, retval, task_id, args, kwargs):
        log(self, "succeeded")

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        log(self, "failed")

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        log(self, "retrying")


def hash_of(args, kwargs):
    """SHA-256 of the arguments as the task received them."""
    text = json.dumps([list(args), kwargs], sort_keys=True, default=lambda odd: type(odd).__name__)
    return hashlib.sha256(text.encode()).hexdigest()


app = Celery("e2e", broker=URL, backend=URL, task_cls=LoggingTask)
app.conf.update(
    broker_transport_options=OPTIONS,
    result_backend_transport_options=OPTIONS,
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ.get("E2E_QUEUE", "e2e"),
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    result_expires=600,
    accept_content=["json", "pickle"],
)


@app.task(name="e2e.add")
def add(a, b):
    return a + b


@app.task(name="e2e.nap")
def nap(seconds):
    time.sleep(seconds)
    return seconds


@app.task(name="e2e.fail")
def fail(text):
    raise ValueError(text)


@app.task(name="e2e.mended")
def mended(number):
    """Fails until somebody sets a key, as after a bad deploy."""
    client = _clients.setdefault(os.getpid(), Redis.from_url(URL))
    if not client.exists(f"{PREFIX}mended"):
        raise ConnectionError("the bank is away")
    return number


@app.task(name="e2e.fail_with_secret")
def fail_with_secret(order, *, password, card):
    """Fails at first; the arguments are logged as a hash by `before_start`."""
    raise LookupError(f"order {order} not found")


@app.task(name="e2e.flaky", bind=True, max_retries=5)
def flaky(self, failures):
    if self.request.retries < failures:
        raise self.retry(exc=ConnectionError("not yet"), countdown=0.1)
    return self.request.retries


@app.task(name="e2e.gives_up", bind=True, max_retries=1)
def gives_up(self):
    raise self.retry(exc=ConnectionError("never"), countdown=0.1)


@app.task(name="e2e.soft_limit", soft_time_limit=1)
def soft_limit():
    time.sleep(30)


@app.task(name="e2e.hard_limit", time_limit=1)
def hard_limit():
    time.sleep(30)


@app.task(name="e2e.die")
def die():
    """The child that runs this is killed, as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="e2e.ignored")
def ignored():
    raise Ignore


@app.task(name="e2e.rejected")
def rejected():
    raise Reject("not today", requeue=False)


class Unprintable:
    """Its repr raises; it can be pickled."""

    def __repr__(self):
        raise RuntimeError("no repr for you")


@app.task(name="e2e.odd")
def odd(value):
    return type(value).__name__


@app.task(name="e2e.total")
def total(numbers):
    return sum(numbers)
