# SPDX-License-Identifier: AGPL-3.0-only
"""A broker, or the engine, that takes a living worker for dead: the task runs a second time, and
then the first run ends too. There is one task, and it has the state that both leave."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from tests.conformance.harness import call, eventually, key
from tests.mixed.conftest import Place
from tests.mixed.engines import Mixed

pytestmark = pytest.mark.engine

INVISIBLE_S = 1.5
"""More than the `visibility_timeout` of the tests' Celery application."""


@contextmanager
def two_workers(worker: Mixed) -> Iterator[Callable[[], None]]:
    """The first is started; calling what is given starts a second one. Both end."""
    first = worker.start().process
    assert first is not None
    try:
        yield lambda: _start_another(worker)
    finally:
        if worker.process is first:
            worker.process = None
        worker.kill()
        worker.process = first
        worker.kill()


def _start_another(worker: Mixed) -> None:
    worker.process = None
    worker.start()


def freeze(worker: Mixed, how: int) -> list[psutil.Process]:
    """SIGSTOP for the worker and its children; they look dead to others."""
    assert worker.process is not None
    family = psutil.Process(worker.process.pid)
    frozen = [family, *family.children(recursive=True)]
    for one in frozen:
        os.kill(one.pid, how)
    return frozen


def thaw(frozen: list[psutil.Process]) -> None:
    for one in frozen:
        os.kill(one.pid, signal.SIGCONT)


def shown(api: object, task_id: str) -> tuple[str, int]:
    (task,) = (one for one in api.tasks() if one["task_id"] == task_id)  # type: ignore[attr-defined]
    return task["state"], task["attempt"]


@pytest.mark.parametrize(("engine", "attempt"), [("dramatiq", 1), ("arq", 2), ("rq", 1)])
def test_worker_that_was_taken_for_dead(place: Place, engine: str, attempt: int) -> None:
    worker, api = place(engine)
    with two_workers(worker) as start_another:
        name = key()
        task_id = worker.send_attached(call("sleep", name, 3))
        eventually(lambda: worker.told("sleeps", name))
        frozen = freeze(worker, signal.SIGSTOP)
        try:
            worker.age(task_id)
            worker.age_the_dead()
            start_another()
            if worker.after_kill == "lost":
                eventually(lambda: shown(api, task_id)[0] == "lost", 40)
            else:
                eventually(lambda: len(worker.told("slept", name)) == 1, 40)
        finally:
            thaw(frozen)
        runs = 1 if worker.after_kill == "lost" else 2
        eventually(lambda: len(worker.told("slept", name)) == runs, 40)
        eventually(lambda: shown(api, task_id) == ("succeeded", attempt), 40)
        assert len(worker.told("sleeps", name)) == runs


def test_task_that_runs_longer_than_it_is_invisible(place: Place) -> None:
    """Celery on Redis with `acks_late`: after `visibility_timeout` another worker gets it, too."""
    worker, api = place("celery")
    worker.environment |= {"TEST_LATE": "1"}
    with two_workers(worker) as start_another:
        name = key()
        task_id = worker.send_attached(call("sleep", name, 12))
        eventually(lambda: worker.told("sleeps", name))
        eventually(lambda: shown(api, task_id) == ("running", 1))
        time.sleep(INVISIBLE_S)
        start_another()  # a worker looks for such messages when it starts
        eventually(lambda: len(worker.told("sleeps", name)) == 2)
        first, second = (int(line[2]) for line in worker.told("sleeps", name))
        assert first != second
        assert shown(api, task_id) == ("running", 1)
        eventually(lambda: len(worker.told("slept", name)) == 2, 40)
        eventually(lambda: shown(api, task_id) == ("succeeded", 1), 40)
