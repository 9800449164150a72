# SPDX-License-Identifier: AGPL-3.0-only
"""Dramatiq: one worker process with two threads."""

from typing import Any

import dramatiq
from benchmarks import payload
from benchmarks.overhead import task
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=task.BROKER, namespace=task.QUEUE)
dramatiq.set_broker(broker)
nothing: Any = dramatiq.actor(actor_name="bench.nothing", queue_name="tasks")(task.nothing)


def publish(count: int) -> None:
    """Puts the standard payload into the broker. Staged are a namespace, not a queue: messages
    say their queue."""
    for _ in range(count):
        nothing.send(*payload.ARGS, **payload.KWARGS)
    broker.close()
