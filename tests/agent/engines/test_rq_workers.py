# SPDX-License-Identifier: AGPL-3.0-only
"""RQ's kinds of workers, how they end, and what a dashboard may do to their jobs."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rq import Queue
from tests.conformance.harness import call, eventually, key
from tests.conformance.rq_harness import RqHarness
from tests.support import spool
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine
Make = Callable[..., RqHarness]
OWN = "tests.support.rq_classes"
CLASSES = ("--worker-class", f"{OWN}.OwnWorker", "--job-class", f"{OWN}.OwnJob")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[RqHarness] = []

    def start(*options: str, **environment: str) -> RqHarness:
        class Optional(RqHarness):
            pass

        Optional.options = options or RqHarness.options
        made.append(Optional(tmp_path, environment))
        made[-1].start()
        return made[-1]

    yield start
    for worker in made:
        worker.close()


@pytest.mark.parametrize(
    "options",
    [
        ("worker", "--worker-class", "rq.SimpleWorker"),
        ("worker", "--worker-class", "rq.SpawnWorker"),
        ("worker", *CLASSES, "--queue-class", f"{OWN}.OwnQueue"),
        ("worker-pool", "--num-workers", "2"),
        ("worker", "--serializer", "json"),
    ],
    ids=["simple", "spawn", "own classes", "pool", "json"],
)
def test_every_kind_of_worker_reports(make: Make, options: tuple[str, ...]) -> None:
    worker = make(*options)
    serializer = "json" if "json" in options else None
    queue = Queue(worker.queue, connection=worker.client, serializer=serializer)
    good = queue.enqueue(call("add").name, 2, 3)
    bad = queue.enqueue(call("fail").name, "x")
    assert worker.event(wire.TaskSucceeded, good.id).result == b"5"
    assert worker.event(wire.TaskFailed, bad.id).exception == "ValueError"
    started = worker.event(wire.TaskStarted, good.id)
    assert started.args == b'{"args":[2,3],"kwargs":{}}'
    assert started.sealed
    assert worker.kinds(good.id) == {("TaskStarted", 1), ("TaskSucceeded", 1)}


def test_horses_write_into_one_lane(make: Make) -> None:
    worker = make("worker")
    sent = {worker.send(call("add", n, n)) for n in range(15)}
    eventually(lambda: len(worker.events(wire.TaskSucceeded)) == 15)
    assert {one.task_id for one in worker.events(wire.TaskSucceeded)} == sent
    assert len(list(worker.spool.rglob("lock"))) == 1


def test_horses_ship_through_their_worker(make: Make, edge: FarEdge) -> None:
    worker = make("worker", QUEUEDECK_DSN=spool.dsn(edge.port))
    sent = {worker.send(call("add", n, n)) for n in range(5)}
    eventually(lambda: len(edge.events(wire.TaskSucceeded)) == 5)
    assert {one.task_id for one in edge.events(wire.TaskSucceeded)} == sent
    assert len(edge.requests) == 1
    (info,) = edge.hellos[-1].engines
    assert (info.engine, info.role, info.pool) == ("rq", "worker", "Worker")
    assert (info.slots, info.queues) == (1, (worker.queue,))
    assert "connected to" in worker.text


def test_spawned_horses_ship_through_their_worker(make: Make, edge: FarEdge) -> None:
    dsn = spool.dsn(edge.port)
    worker = make("worker", "--worker-class", "rq.SpawnWorker", QUEUEDECK_DSN=dsn)
    worker.send(call("add", 1, 1))
    eventually(lambda: edge.events(wire.TaskSucceeded))
    assert len(edge.requests) == 1


def test_warm_stop_lets_the_job_end(make: Make) -> None:
    worker = make("worker")
    name = key()
    task_id = worker.send(call("sleep", name, 1))
    eventually(lambda: worker.told("sleeps", name))
    assert worker.stop() == 0
    assert worker.event(wire.TaskSucceeded, task_id)


def test_forced_stop_is_a_lost_task(make: Make) -> None:
    worker = make("worker")
    name = key()
    task_id = worker.send(call("sleep", name, 30))
    eventually(lambda: worker.told("sleeps", name))
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "warm shut down" in worker.text.lower())
    eventually(lambda: _signalled(worker) and worker.events(wire.TaskLost, task_id))
    assert "by force" in worker.event(wire.TaskLost, task_id).message


def test_horse_goes_on_without_its_worker(make: Make) -> None:
    worker = make("worker")
    name = key()
    task_id = worker.send(call("sleep", name, 2))
    ((_, _, horse),) = eventually(lambda: worker.told("sleeps", name))
    assert worker.process is not None
    os.kill(worker.process.pid, signal.SIGKILL)
    assert psutil.pid_exists(int(horse))
    assert worker.event(wire.TaskSucceeded, task_id)


def test_info_and_suspend_are_not_attached(make: Make) -> None:
    worker = make("worker")
    before = len(spool.events(worker.spool))
    code = (
        "import subprocess, sys\n"
        "place = ['--url', t.tasks.BROKER]\n"
        "subprocess.run([sys.executable, '-m', 'rq.cli', 'info', *place], timeout=30, check=True)"
    )
    worker.attached(code)
    assert len(spool.events(worker.spool)) == before


def test_simple_worker_cannot_stop_a_job(make: Make, edge: FarEdge) -> None:
    simple = ("worker", "--worker-class", "rq.SimpleWorker")
    make(*simple, QUEUEDECK_DSN=spool.dsn(edge.port))
    eventually(lambda: edge.hellos and edge.hellos[-1].engines)
    (info,) = edge.hellos[-1].engines
    stop = next(one for one in info.capabilities if one.verb == "terminate")
    assert (stop.how, info.pool) == ("none", "SimpleWorker")
    assert all(one.reason for one in info.capabilities)


def test_deferred_job_is_cancelled(make: Make) -> None:
    worker = make("worker")
    queue = Queue(worker.queue, connection=worker.client)
    first = queue.enqueue(call("sleep").name, key(), 2)
    second = queue.enqueue(call("note").name, "never", depends_on=first)
    done = worker.commander("cancel").execute("cancel", second.id, call("note").name)
    assert done.verified
    worker.event(wire.TaskSucceeded, first.id)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    assert not worker.told("note", "never")


def test_ended_or_unknown_job_is_not_cancelled(make: Make) -> None:
    worker = make("worker")
    task_id = worker.send(call("add", 1, 1))
    eventually(lambda: worker.result(task_id) == 2)
    commander = worker.commander("cancel")
    with pytest.raises(CommandRefused, match="ended"):
        commander.execute("cancel", task_id, call("add").name)
    with pytest.raises(CommandRefused, match="not have this job"):
        commander.execute("cancel", "nobody", call("add").name)
    with pytest.raises(CommandRefused, match="Only a worker"):
        commander.execute("pause", queue=worker.queue)


def test_retry_keeps_timeout_and_meta(make: Make) -> None:
    worker = make("worker")
    code = (
        "q = t.Queue(t.tasks.QUEUE, connection=t.connection())\n"
        "name = 'tests.conformance.tasks.add'\n"
        "print(q.enqueue(t.tasks.add, 2, 3, job_timeout=77, meta={'who': 'me'}).id)"
    )
    task_id = worker.attached(code)
    sealed = worker.event(wire.TaskPublished, task_id).sealed
    done = worker.commander("retry").execute("retry", task_id, call("add").name, sealed)
    eventually(lambda: worker.result(done.new_task_id) == 5)
    again = Queue(worker.queue, connection=worker.client).fetch_job(done.new_task_id)
    assert again is not None
    assert (again.timeout, again.meta) == (77, {"who": "me"})


def test_retry_of_nonsense_is_refused(make: Make) -> None:
    commander = make("worker").commander("retry")
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "jobs.add", 60)
    with pytest.raises(CommandRefused, match="cannot be read"):
        commander.engine.execute(command, b"nonsense")


def _signalled(worker: RqHarness) -> bool:
    """Again and again: RQ takes a second signal for forced only a second after the first."""
    if worker.process is not None and worker.process.poll() is None:
        worker.process.send_signal(signal.SIGTERM)
    return True
