# SPDX-License-Identifier: AGPL-3.0-only
"""What differs between engines, seen from outside of the worker."""

from typing import Any, NamedTuple

from benchmarks.overhead.task import BROKER


class Engine(NamedTuple):
    """A worker and its queue in Redis."""

    module: str
    """Of its application."""
    command: tuple[str, ...]
    """Module and words; `{slots}` is the number of tasks at a time."""
    keys: tuple[tuple[str, str], ...]
    """(staged, the worker's own): renamed at once, so that all tasks are there at once."""
    first: str
    """The hook that starts a task: in a new process its first call prepares much."""
    forks: bool = False
    """Each task in a process of its own: hooks cannot be timed, only the whole."""
    drained: tuple[str, ...] = ()
    """Keys that are empty when all is done. Without, the tasks count themselves."""


_RQ = ("rq.cli", "worker", "--url", BROKER, "--path", ".", "bench")
_RQ_KEYS = (("rq:queue:staged", "rq:queue:bench"),)

ENGINES = {
    "celery": Engine(
        "benchmarks.overhead.celery_app",
        ("celery", "-A", "benchmarks.overhead.celery_app", "worker", "-c", "{slots}",
         "-l", "WARNING", "--without-mingle", "--without-gossip", "--without-heartbeat"),
        (("staged", "bench"),),
        "task_prerun",
        drained=("bench", "unacked"),
    ),
    "rq": Engine(
        "benchmarks.overhead.rq_app",
        _RQ,
        _RQ_KEYS,
        "step perform_job",
        forks=True,
        drained=("rq:queue:bench", "rq:wip:staged"),
    ),
    "rq-simple": Engine(
        "benchmarks.overhead.rq_app",
        (*_RQ[:-1], "--worker-class", "rq.worker.SimpleWorker", "bench"),
        _RQ_KEYS,
        "step perform_job",
    ),
    "dramatiq": Engine(
        "benchmarks.overhead.dramatiq_app",
        ("dramatiq", "benchmarks.overhead.dramatiq_app", "-p", "1", "-t", "{slots}"),
        (("staged:tasks", "bench:tasks"), ("staged:tasks.msgs", "bench:tasks.msgs")),
        "Inner.before_process_message",
    ),
    "huey": Engine(
        "benchmarks.overhead.huey_app",
        ("huey.bin.huey_consumer", "benchmarks.overhead.huey_app.huey", "-w", "{slots}"),
        (("huey.redis.staged", "huey.redis.bench"),),
        "step _emit",
    ),
    "arq": Engine(
        "benchmarks.overhead.arq_app",
        ("arq", "benchmarks.overhead.arq_app.WorkerSettings"),
        (("staged", "bench"),),
        "Boot._started",
    ),
    "taskiq": Engine(
        "benchmarks.overhead.taskiq_app",
        ("taskiq", "worker", "benchmarks.overhead.taskiq_app:broker", "-w", "1"),
        (("staged", "bench"),),
        "step run_task",
    ),
}  # fmt: skip
"""By the name of `--engine`. `rq` is RQ's default worker, which forks for each job."""


def release(client: Any, engine: Engine) -> None:
    """Hands all staged tasks to the worker at once."""
    with client.pipeline() as pipe:
        for staged, own in engine.keys:
            pipe.rename(staged, own)
        pipe.execute()


def is_drained(client: Any, engine: Engine) -> bool:
    """Whether nothing is left in the queue."""
    return not client.exists(*engine.drained)
