# SPDX-License-Identifier: AGPL-3.0-only
"""The Celery application of `benchmarks.overhead`: a task that does nothing, and timers for hooks.

`python -m benchmarks.overhead_app COUNT` publishes that many tasks to the queue `staged`.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import payload
from celery import Celery, signals

BROKER = os.environ.get("BENCH_BROKER", "redis://127.0.0.1:6379/13")
Sample = tuple[int, int, int]
"""Nanoseconds: wall, CPU of the thread, when it began (by a clock that all processes share)."""
TIMED = ("task_received", "task_prerun", "task_postrun")

app = Celery("bench", broker=BROKER)
app.conf.update(
    task_default_queue="bench",
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """The whole task is overhead: Celery's own, and ours."""


nothing: Any = app.task(name="bench.nothing")(_nothing)


def time_hooks(folder: Path) -> None:
    """Wraps our receivers from outside: the agent itself has no code for this."""
    samples: dict[str, list[Sample]] = {name: [] for name in TIMED}

    def wrap(**_: Any) -> None:
        for name in TIMED:
            signal: Any = getattr(signals, name)
            signal.receivers = [
                (key, timed(receiver, samples[name]) if "queuedeck" in str(key) else receiver)
                for key, receiver in signal.receivers
            ]

    def write(**_: Any) -> None:
        (folder / f"hooks-{os.getpid()}.json").write_text(json.dumps(samples))

    signals.worker_init.connect(wrap, weak=False)
    signals.worker_process_shutdown.connect(write, weak=False)
    signals.worker_shutdown.connect(write, weak=False)


def timed(receiver: Callable[..., Any], samples: list[Sample]) -> Callable[..., Any]:
    """Notes each call. The clock of the CPU is read outside, since that is a system call."""
    wall, cpu = time.perf_counter_ns, time.thread_time_ns

    def call(*args: Any, **kwargs: Any) -> Any:
        cpu_before, wall_before = cpu(), wall()
        try:
            return receiver(*args, **kwargs)
        finally:
            wall_after, cpu_after = wall(), cpu()
            samples.append((wall_after - wall_before, cpu_after - cpu_before, wall_before))

    return call


def tell_ready(folder: Path) -> None:
    """Writes a file when the worker takes tasks."""

    def tell(**_: Any) -> None:
        (folder / "ready").touch()

    signals.worker_ready.connect(tell, weak=False)


def publish(count: int) -> None:
    """Puts the standard payload into the broker, where no worker looks yet."""
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            nothing.apply_async(payload.ARGS, payload.KWARGS, queue="staged", producer=producer)


if os.environ.get("BENCH_FOLDER"):
    tell_ready(Path(os.environ["BENCH_FOLDER"]))
    if os.environ.get("BENCH_TIMED"):
        time_hooks(Path(os.environ["BENCH_FOLDER"]))

if __name__ == "__main__":
    publish(int(sys.argv[1]))
