# SPDX-License-Identifier: AGPL-3.0-only
"""Where Celery's signals say too much, too little or nothing: the truth is told once all the same.
The page `docs/engines/pitfalls.md` names each."""

import json
import os
import signal

import psutil
import pytest
from tests.agent.engines.conftest import MakeWorker
from tests.support import spool
from tests.support.celery_worker import Worker, eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine
TASKS = "tests.support.celery_tasks"


def ids(worker: Worker) -> set[str]:
    """Every task that anything was told of."""
    return {one.task_id for one in worker.events(wire.TaskEvent)}


def test_calls_inside_a_task_are_no_tasks(worker: Worker) -> None:
    before = ids(worker)
    task_id = worker.send("inside")
    worker.event(wire.TaskSucceeded, task_id)
    worker.event(wire.TaskSucceeded, marker := worker.send("add", 1, 1))
    assert ids(worker) - before == {task_id, marker}
    assert worker.kinds(task_id) == [("TaskReceived", 1), ("TaskStarted", 1), ("TaskSucceeded", 1)]


def test_task_of_a_killed_child_that_goes_back_runs_again(worker: Worker) -> None:
    """With `task_reject_on_worker_lost` Celery tells nobody that the first run was lost."""
    task_id = worker.send("late")
    worker.event(wire.TaskSucceeded, task_id)
    first, second = worker.told("late")
    assert first[2] != second[2]
    starts = worker.events(wire.TaskStarted, task_id)
    assert [(one.attempt, one.pid) for one in starts] == [
        (1, int(first[2])),
        (1, int(second[2])),
    ]
    assert worker.events(wire.TaskLost, task_id) == []


def test_handler_that_fails_after_the_task_is_told(worker: Worker) -> None:
    """Celery has stored SUCCESS by then."""
    task_id = worker.send("stumbles", retries=1)
    assert worker.event(wire.TaskSucceeded, task_id).result == b'"done"'
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.exception, failed.message) == ("RuntimeError", "after all went well")
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert sorted(worker.kinds(task_id)[1:]) == [
        ("TaskFailed", 2),
        ("TaskStarted", 2),
        ("TaskSucceeded", 2),
    ]


def test_result_that_nobody_keeps_is_reported(worker: Worker) -> None:
    """The result backend says PENDING for ever."""
    task_id = worker.send("unnoticed", ignore_result=True)
    assert worker.event(wire.TaskSucceeded, task_id).result == b'"done"'
    assert not worker.redis.exists(f"celery-task-meta-{task_id}")


def test_body_of_a_chord_that_failed_never_waits(worker: Worker) -> None:
    """Celery stores a failure under the id of a body that was never sent, without any signal."""
    code = (
        "from celery import chord\n"
        f"from {TASKS} import add, fail, total\n"
        "sent = chord([add.s(1, 1), fail.s('nothing')])(total.s())\n"
        "print(sent.id, *[one.id for one in sent.parent])"
    )
    body, good, bad = worker.attached(code).split()
    stored = eventually(lambda: worker.redis.get(f"celery-task-meta-{body}"))
    assert json.loads(stored)["status"] == "FAILURE"
    worker.event(wire.TaskSucceeded, good)
    worker.event(wire.TaskFailed, bad)
    assert {one.chord_id for one in worker.events(wire.TaskPublished, bad)} == {body}
    assert worker.kinds(body) == []


def test_body_that_the_worker_may_not_read_is_a_failure(make_worker: MakeWorker) -> None:
    """Celery finds out in the child, outside of the task; only the parent tells."""
    worker = make_worker(TEST_ACCEPT="json").start()
    task_id = worker.send("add", 1, 1, serializer="pickle")
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.exception.endswith("ContentDisallowed")
    assert failed.worker.startswith(worker.queue)
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))


def test_message_of_the_first_protocol(make_worker: MakeWorker) -> None:
    worker = make_worker(TEST_PROTOCOL="1").start()
    task_id = worker.attached(f"from {TASKS} import add; print(add.delay(2, 3).id)")
    assert worker.event(wire.TaskSucceeded, task_id).result == b"5"
    published = worker.event(wire.TaskPublished, task_id)
    assert published.args == b'{"args":[2,3],"kwargs":{}}'
    assert worker.event(wire.TaskStarted, task_id).published_us == published.at_us


def test_task_of_a_worker_that_is_stopped_by_force(make_worker: MakeWorker) -> None:
    """SIGQUIT ends the children at once; by default nobody runs the task again."""
    worker = make_worker().start()
    task_id = worker.send("sleep", 30)
    eventually(lambda: worker.told("sleeps"))
    worker.stop(signal.SIGQUIT)
    assert worker.kinds(task_id)[-1] == ("TaskLost", 1)


def test_task_that_exits_a_worker_without_children_is_lost(make_worker: MakeWorker) -> None:
    """The pool solo: with the task the worker ends."""
    worker = make_worker().start("-P", "solo")
    task_id = worker.send("leaves")
    assert "SystemExit" in worker.event(wire.TaskLost, task_id).message


def test_worker_that_is_busy_is_not_silent(make_worker: MakeWorker, edge: FarEdge) -> None:
    """The pool solo answers neither remote control nor sends Celery's heartbeats meanwhile."""
    worker = make_worker(spool.dsn(edge.port)).start("-P", "solo")
    eventually(lambda: edge.welcomed)
    worker.send("sleep", 5)
    eventually(lambda: edge.events(wire.TaskStarted))
    eventually(lambda: edge.heartbeats)
    assert not edge.events(wire.TaskSucceeded)


def test_child_that_outlives_its_worker_holds_nothing_back(
    make_worker: MakeWorker, edge: FarEdge
) -> None:
    """A child of a task inherits the files of the spool, and with them the lock."""
    edge.stop()
    worker = make_worker(spool.dsn(edge.port)).start()
    task_id = worker.send("leaves_a_child", 30)
    child = int(worker.result(task_id))
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.process is not None
    family = psutil.Process(worker.process.pid).children(recursive=True)
    worker.stop(signal.SIGKILL)
    for one in family:
        if one.pid != child:
            one.kill()
    try:
        assert psutil.pid_exists(child)
        edge.start()
        worker.start()
        eventually(lambda: edge.events(wire.TaskSucceeded))
        assert [one.task_id for one in edge.events(wire.TaskSucceeded)] == [task_id]
    finally:
        os.kill(child, signal.SIGKILL)
