# SPDX-License-Identifier: AGPL-3.0-only
"""Celery, prefork."""

from collections.abc import Callable
from typing import Any

from benchmarks import payload
from benchmarks.overhead import task, timers
from celery import Celery, signals

TIMED = ("task_received", "task_prerun", "task_postrun")

app = Celery("bench", broker=task.BROKER)
app.conf.update(
    task_default_queue="bench",
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
nothing: Any = app.task(name="bench.nothing")(task.nothing)


def publish(count: int) -> None:
    """Puts the standard payload into the broker."""
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            nothing.apply_async(payload.ARGS, payload.KWARGS, queue=task.QUEUE, producer=producer)


def time_hooks() -> None:
    """Signals have no order of import: our receivers are there when the worker begins."""
    signals.worker_init.connect(_wrap_receivers, weak=False)


def _wrap_receivers(**_: Any) -> None:
    for name in TIMED:
        signal: Any = getattr(signals, name)
        signal.receivers = [
            (key, _timed(receiver, name) if "queuedeck" in str(key) else receiver)
            for key, receiver in signal.receivers
        ]


def _timed(receiver: Callable[..., Any], name: str) -> Callable[..., Any]:
    return timers.timed(receiver, name)
