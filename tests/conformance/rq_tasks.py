# SPDX-License-Identifier: AGPL-3.0-only
"""How an application sends RQ jobs; the jobs are in `tasks.py`, and need no more than that."""

import os
import signal
from datetime import timedelta
from typing import Any

from redis import Redis
from rq import Queue, Retry
from rq.job import Job, get_current_job
from tests.conformance import tasks

RETRIED = "tests.conformance.tasks.again"
PARENT = "tests.conformance.tasks.sends_another"


def connection() -> "Redis[Any]":
    return Redis.from_url(tasks.BROKER)


def send(
    queue: str,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    delay: int = 0,
    limit: int = 0,
    expires: int = 0,
    depends_on: Job | None = None,
) -> Job:
    """Enqueues now, or for later."""
    function = "tests.conformance.rq_tasks.sends_another" if name == PARENT else name
    options: dict[str, Any] = {
        "args": args,
        "kwargs": kwargs,
        "retry": Retry(max=1) if name == RETRIED else None,
        "job_timeout": limit or None,
        "ttl": expires or None,
        "depends_on": depends_on,
    }
    made = Queue(queue, connection=connection())
    if delay:
        return made.enqueue_in(timedelta(seconds=delay), function, **options)
    return made.enqueue(function, **options)


def eager(queue: str, name: str, args: tuple[Any, ...]) -> Any:
    """Runs it here and now."""
    job = Queue(queue, connection=connection(), is_async=False).enqueue(name, args=args)
    result = job.return_value()
    job.delete()
    return result


def cancel(job_id: str) -> None:
    Job.fetch(job_id, connection=connection()).cancel()


def sends_another() -> str:
    job = get_current_job()
    assert job is not None
    return send(job.origin, "tests.conformance.tasks.add", (2, 3), {}).id


def asks_again(key: str) -> Any:
    """Asks for another attempt, each time."""
    tasks.told("asked", key)
    return Retry(max=2)


def stumbles(*_: Any) -> None:
    """A callback of the application."""
    raise RuntimeError("after all went well")


def dies_once(key: str) -> str:
    """Its horse is killed the first time."""
    if tasks.told("dies", key, os.getpid()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "lives"


class Canary:
    """Says where it was read."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        return hatch, (self.key,)


def hatch(key: str) -> Canary:
    tasks.told("hatched", key, os.getpid())
    return Canary(key)


def meets(canary: Canary, word: str) -> str:
    tasks.told("meets", canary.key, word)
    return word
