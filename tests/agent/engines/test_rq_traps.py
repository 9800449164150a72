# SPDX-License-Identifier: AGPL-3.0-only
"""Where RQ says nothing, or says it too late: jobs that leave without a word, results that nobody
keeps, ids that are used again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rq import Callback, Queue
from tests.conformance.harness import call, eventually, key
from tests.conformance.rq_harness import RqHarness

from queuedeck_agent import wire

pytestmark = pytest.mark.engine
Make = Callable[..., RqHarness]
OWN = "tests.conformance.rq_tasks"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RqHarness]:
    worker = RqHarness(tmp_path_factory.mktemp("worker"))
    worker.start()
    yield worker
    worker.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[RqHarness]:
    worker = RqHarness(tmp_path)
    worker.start()
    yield worker
    worker.close()


def queue_of(worker: RqHarness) -> Queue:
    return Queue(worker.queue, connection=worker.client)


def test_result_that_nobody_keeps_is_reported(worker: RqHarness) -> None:
    """RQ deletes such a job in the moment in which it ends."""
    job = queue_of(worker).enqueue(call("add").name, 2, 3, result_ttl=0)
    assert worker.event(wire.TaskSucceeded, job.id).result == b"5"
    eventually(lambda: not worker.redis.exists(f"rq:job:{job.id}"))


def test_id_that_is_used_again_is_a_new_run(worker: RqHarness) -> None:
    own = f"own-{key()}"
    for runs in (1, 2):
        queue_of(worker).enqueue(call("add").name, 1, 1, job_id=own)
        eventually(lambda runs=runs: len(worker.events(wire.TaskSucceeded, own)) == runs)
    first, second = worker.events(wire.TaskStarted, own)
    assert second.published_us > first.published_us
    assert (first.attempt, second.attempt) == (1, 1)


@pytest.mark.parametrize("attached", [True, False], ids=["attached", "without agent"])
def test_id_that_waits_twice_is_two_runs(worker: RqHarness, attached: bool) -> None:
    """As rq-scheduler leaves it when workers are slower than its interval."""
    blocker = worker.send(call("sleep", key(), 1))
    name = key()
    one = call("again_and_again", name)
    own = worker.send_attached(one) if attached else worker.send(one)
    queue_of(worker).push_job_id(own)
    worker.event(wire.TaskSucceeded, blocker)
    eventually(lambda: len(worker.told("ran", name)) == 2)
    eventually(lambda: len(worker.events(wire.TaskEvent, own)) == 4 + attached)
    first, second = worker.events(wire.TaskStarted, own)
    assert first.published_us < second.published_us
    ends = [worker.event(kind, own) for kind in (wire.TaskSucceeded, wire.TaskFailed)]
    assert [one.attempt for one in ends] == [1, 1]


def test_callback_that_fails_makes_the_job_fail(worker: RqHarness) -> None:
    """As RQ has it, although the function went well."""
    on_success = Callback(f"{OWN}.stumbles")
    job = queue_of(worker).enqueue(call("add").name, 1, 1, on_success=on_success)
    assert worker.event(wire.TaskFailed, job.id).message == "after all went well"
    assert worker.kinds(job.id) == {("TaskStarted", 1), ("TaskFailed", 1)}
    eventually(lambda: worker.failure(job.id))


def test_horse_that_exits_with_an_error_is_lost(worker: RqHarness) -> None:
    job = queue_of(worker).enqueue(call("vanishes").name, key(), 3)
    assert "terminated unexpectedly" in worker.event(wire.TaskLost, job.id).message
    assert worker.kinds(job.id) == {("TaskStarted", 1), ("TaskLost", 1)}


def test_horse_that_exits_as_if_all_was_well_is_lost(fresh: RqHarness) -> None:
    """RQ's parent asks no more when the exit code is 0: the job stays started until it is given
    up."""
    job = queue_of(fresh).enqueue(call("vanishes").name, key(), 0)
    assert "without any error" in fresh.event(wire.TaskLost, job.id).message
    assert job.get_status() == "started"
    fresh.event(wire.TaskSucceeded, fresh.send(call("add", 1, 1)))
    fresh.stop()
    fresh.age_the_dead()
    fresh.start()
    eventually(lambda: job.get_status() == "failed")
    assert fresh.kinds(job.id) == {("TaskStarted", 1), ("TaskLost", 1)}


def test_horse_that_has_told_its_end_is_not_lost(worker: RqHarness) -> None:
    """However it ended, and whoever told it."""
    jobs = [
        queue_of(worker).enqueue(call("add").name, 1, 1),
        queue_of(worker).enqueue(call("fail").name, "x"),
        queue_of(worker).enqueue("tests.support.nowhere.at_all"),
        queue_of(worker).enqueue(f"{OWN}.asks_again", key()),
    ]
    worker.event(wire.TaskFailed, jobs[-1].id)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    lost = {one.task_id for one in worker.events(wire.TaskLost)}
    assert not lost & {job.id for job in jobs}
