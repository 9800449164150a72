# SPDX-License-Identifier: AGPL-3.0-only
"""A Celery worker whose tasks are greenlets. The list of behaviours is run on gevent and eventlet
by `make test-engines`; here: the agent's threads are greenlets, and never hold the others up.
"""

import os
import signal
import socket
from collections.abc import Iterator

import pytest
from tests.agent.engines.conftest import MakeWorker
from tests.support import spool
from tests.support.celery_worker import eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine
SLOTS = 20


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts a connection and then says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


def test_tasks_run_while_the_link_waits_for_a_silent_server(
    make_worker: MakeWorker, silent: socket.socket
) -> None:
    worker = make_worker(spool.dsn(silent.getsockname()[1]))
    worker.launch("-l", "info", "-P", "gevent", slots=SLOTS)
    connection, _ = silent.accept()
    connection.settimeout(0.01)
    assert connection.recv(4096).startswith(b"GET ")
    eventually(lambda: " ready." in worker.text, 30)
    ids = [worker.send("add", number, 1) for number in range(SLOTS)]
    for task_id in ids:
        worker.event(wire.TaskSucceeded, task_id)
    with pytest.raises(TimeoutError):  # the link waits for its answer still
        connection.recv(1)
    connection.close()


def test_tasks_that_wait_for_each_other_all_run_and_all_arrive(
    make_worker: MakeWorker, edge: FarEdge
) -> None:
    worker = make_worker(spool.dsn(edge.port)).start("-P", "gevent", slots=SLOTS)
    ids = {worker.send("meets", SLOTS) for _ in range(SLOTS)}
    eventually(lambda: {one.task_id for one in edge.events(wire.TaskSucceeded)} == ids, 30)
    started = [one.task_id for one in edge.events(wire.TaskStarted)]
    assert sorted(started) == sorted(ids)
    engine = edge.hellos[-1].engines[0]
    assert (engine.pool, engine.slots, engine.role) == ("gevent", SLOTS, "worker")


def test_agent_is_of_greenlets_where_all_is_patched(make_worker: MakeWorker, edge: FarEdge) -> None:
    worker = make_worker(spool.dsn(edge.port)).start("-P", "gevent")
    eventually(lambda: edge.welcomed)
    assert worker.result(worker.send("threads"))["queuedeck-link"] is False


def test_hard_limit_is_a_timeout_and_the_worker_goes_on(make_worker: MakeWorker) -> None:
    worker = make_worker().start("-P", "gevent")
    task_id = worker.send("sleep", 30, time_limit=1)
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.reason, failed.exception) == ("timeout", "billiard.exceptions.TimeLimitExceeded")
    assert failed.message == "The task ran longer than its hard time limit of 1 s."
    assert failed.run_us > 900_000
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id)[-1] == ("TaskFailed", 1)


def test_terminated_task_is_cancelled_and_the_others_go_on(make_worker: MakeWorker) -> None:
    worker = make_worker().start("-P", "gevent")
    task_id, other = worker.send("sleep", 30), worker.send("sleep", 2)
    worker.event(wire.TaskStarted, task_id)
    worker.client.control.revoke(task_id, terminate=True)
    assert worker.event(wire.TaskCancelled, task_id).reason == "terminated"
    worker.event(wire.TaskSucceeded, other)
    assert ("TaskSucceeded", 1) not in worker.kinds(task_id)


def test_task_that_exits_is_lost_and_the_others_go_on(make_worker: MakeWorker) -> None:
    """Celery calls it started for ever."""
    worker = make_worker().start("-P", "gevent")
    other = worker.send("sleep", 2)
    worker.event(wire.TaskStarted, other)
    assert "SystemExit" in worker.event(wire.TaskLost, worker.send("leaves")).message
    worker.event(wire.TaskSucceeded, other)


@pytest.mark.parametrize("greenlet", [False, True], ids=["blocks", "waits as a greenlet"])
def test_child_of_a_task_breaks_neither_link_nor_tasks(
    make_worker: MakeWorker, edge: FarEdge, greenlet: bool
) -> None:
    """A fork copies the greenlets of the link with its connection: a child that waits runs them,
    and lives on for longer than the task."""
    worker = make_worker(spool.dsn(edge.port)).start("-P", "gevent")
    eventually(lambda: edge.welcomed)
    task_id = worker.send("leaves_a_child", 6, greenlet)
    child = int(worker.result(task_id))
    try:
        sent = {task_id, *(worker.send("add", n, n) for n in range(20))}
        eventually(lambda: {one.task_id for one in edge.events(wire.TaskSucceeded)} == sent)
        assert sorted(one.task_id for one in edge.events(wire.TaskStarted)) == sorted(sent)
        assert len(edge.requests) == 1
        assert edge.duplicates == 0
        assert "Queuedeck's agent failed" not in worker.text
    finally:
        os.kill(child, signal.SIGKILL)
