# SPDX-License-Identifier: AGPL-3.0-only
"""Where the oldest and the newest Celery signal the same thing differently: each in a worker of its
own environment, that of its cell in the matrix. It is told once in both."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.matrix import cells, environment
from tests.support import spool
from tests.support.celery_worker import Worker, eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = [pytest.mark.engine, pytest.mark.packaging]
CELLS = {one.name: one for one in cells.load()}
VERSIONS = ("celery-5.2-redis", "celery-5.7-redis")


def python_of(cell: str) -> str:
    """The environment of a cell of the matrix."""
    try:
        return str(environment.make(CELLS[cell]))
    except environment.NotRun as missing:
        pytest.skip(f"{missing}: not run")


@pytest.fixture(scope="module", params=VERSIONS)
def worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("worker"))
    worker.python = python_of(request.param)
    yield worker.start()
    worker.close()


def test_hard_limit_is_one_timeout(worker: Worker) -> None:
    """5.7 sends two signals of it, older ones one."""
    task_id = worker.send("sleep", 30, time_limit=1)
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.reason, failed.attempt) == ("timeout", 1)
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id)[1:] == [("TaskStarted", 1), ("TaskFailed", 1)]


def test_hard_limit_of_a_task_that_keeps_its_message(worker: Worker) -> None:
    """With `acks_on_failure_or_timeout=False` 5.2 drops the message, as after any failure; from 5.6
    on it is delivered again, and 5.7 signals a failure all the same."""
    task_id = worker.send("over")
    if "celery-5.2" in worker.python:
        assert worker.event(wire.TaskFailed, task_id).reason == "timeout"
        return
    worker.event(wire.TaskSucceeded, task_id)
    twice = [("TaskReceived", 1), ("TaskStarted", 1)] * 2
    assert worker.kinds(task_id) == [*twice, ("TaskSucceeded", 1)]


def test_rejected_task_fails_once(worker: Worker) -> None:
    """5.7 signals it in the child and in the parent, 5.2 nowhere."""
    task_id = worker.send("rejected")
    assert worker.event(wire.TaskFailed, task_id).reason == "rejected"
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id)[1:] == [("TaskStarted", 1), ("TaskFailed", 1)]


def test_calls_inside_a_task_are_no_tasks(worker: Worker) -> None:
    before = {one.task_id for one in worker.events(wire.TaskEvent)}
    worker.event(wire.TaskSucceeded, task_id := worker.send("inside"))
    worker.event(wire.TaskSucceeded, marker := worker.send("add", 1, 1))
    found = {one.task_id for one in worker.events(wire.TaskEvent)}
    assert found - before == {task_id, marker}


def test_killed_child_is_lost_once(worker: Worker) -> None:
    """Up to 5.6 the signal names no task but in an argument."""
    task_id = worker.send("vanishes")
    lost = worker.event(wire.TaskLost, task_id, 30)
    assert (lost.name, lost.attempt) == ("tests.vanishes", 1)
    eventually(lambda: worker.redis.get(f"celery-task-meta-{task_id}"))
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id)[-1] == ("TaskLost", 1)


@pytest.mark.parametrize(
    ("name", "how"), [("celery-5.2-redis-gevent", "none"), ("celery-5.7-redis-gevent", "native")]
)
def test_greenlets_are_stopped_where_celery_can(tmp_path: Path, name: str, how: str) -> None:
    """Up to 5.2 a `revoke` with `terminate` is answered as if it had been done."""
    edge = FarEdge()
    edge.start()
    worker = Worker(tmp_path, spool.dsn(edge.port))
    worker.python = python_of(name)
    try:
        worker.start("-P", "gevent")
        eventually(lambda: edge.hellos and edge.hellos[-1].engines)
        told = {one.verb: one.how for one in edge.hellos[-1].engines[0].capabilities}
        assert told["terminate"] == how
    finally:
        worker.close()
        edge.stop()
