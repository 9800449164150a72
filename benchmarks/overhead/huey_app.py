# SPDX-License-Identifier: AGPL-3.0-only
"""Huey: two threads, as is its default for the kind of worker."""

from typing import Any

from benchmarks import payload
from benchmarks.overhead import task
from huey import RedisHuey

huey: Any = RedisHuey(task.QUEUE, url=task.BROKER, results=False)
nothing: Any = huey.task(name="nothing")(task.nothing)


def publish(count: int) -> None:
    """Puts the standard payload into the broker."""
    for _ in range(count):
        nothing(*payload.ARGS, **payload.KWARGS)
