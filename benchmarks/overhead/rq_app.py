# SPDX-License-Identifier: AGPL-3.0-only
"""RQ, with a horse for each job or with a SimpleWorker."""

from typing import Any

from benchmarks import payload
from benchmarks.overhead import task
from redis import Redis
from rq import Queue


def publish(count: int) -> None:
    """Puts the standard payload into the broker; RQ is to forget each job at its end."""
    client: Any = Redis.from_url(task.BROKER)
    queue = Queue(task.QUEUE, connection=client)
    for _ in range(count):
        queue.enqueue(
            "benchmarks.overhead.task.nothing",
            args=payload.ARGS,
            kwargs=payload.KWARGS,
            result_ttl=0,
        )
    client.close()
