# SPDX-License-Identifier: AGPL-3.0-only
"""Where Huey says nothing, or other things: processes that leave, limits, local time, greenlets."""

import time
from collections.abc import Iterator

import pytest
from tests.support.celery_worker import REPOSITORY, eventually
from tests.support.huey_worker import MakeWorker, Worker

from queuedeck_agent import wire

pytestmark = pytest.mark.engine

DONE = [("Published", 1), ("Started", 1), ("Succeeded", 1)]
GREENLETS = REPOSITORY / "tests/conformance/huey_greenlets.py"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """With processes: threads cannot be interrupted."""
    worker = Worker(tmp_path_factory.mktemp("huey")).start("-k", "process", "-c", "1")
    yield worker
    worker.close()


@pytest.mark.parametrize("code", [0, 3])
def test_task_that_leaves_its_process_is_lost(worker: Worker, code: int) -> None:
    task_id = worker.attached(f"vanishes({code}).id")
    assert f"exited with code {code}" in worker.event(wire.TaskLost, task_id).message
    assert worker.kinds(task_id) == [*DONE[:2], ("Lost", 1)]


def test_time_limit_of_an_attempt_is_no_failure_of_the_task(worker: Worker) -> None:
    task_id = worker.attached("huey.enqueue(limited_twice.s(timeout=1)).id")
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.reason, failed.attempt) == ("timeout", 2)
    retrying = worker.event(wire.TaskRetrying, task_id)
    assert (retrying.attempt, retrying.exception) == (1, "huey.exceptions.TaskTimeout")


def test_task_over_its_rate_is_refused(worker: Worker) -> None:
    worker.event(wire.TaskSucceeded, worker.attached("refused_often().id"))
    failed = worker.event(wire.TaskFailed, worker.attached("refused_often().id"))
    assert failed.reason == "rejected"
    assert failed.exception == "huey.exceptions.RateLimitExceeded"


def test_task_over_its_rate_is_tried_again(worker: Worker) -> None:
    """Huey adds a retry for that, so its count of what is left says nothing."""
    sent = [worker.attached("again_later().id") for _ in range(4)]  # two in one second
    for task_id in sent:
        worker.event(wire.TaskSucceeded, task_id)
    told = [one for task_id in sent for one in worker.events(wire.TaskRetrying, task_id)]
    assert told
    assert {one.exception for one in told} == {"huey.exceptions.RateLimitExceeded"}
    for task_id in sent:
        retries = len(worker.events(wire.TaskRetrying, task_id))
        assert worker.event(wire.TaskSucceeded, task_id).attempt == retries + 1


def test_calls_inside_a_task_are_no_tasks(worker: Worker) -> None:
    before = {one.task_id for one in worker.events(wire.TaskEvent)}
    task_id = worker.attached("calls().id")
    worker.event(wire.TaskSucceeded, task_id)
    worker.event(wire.TaskSucceeded, marker := worker.attached("add(1, 1).id"))
    assert {one.task_id for one in worker.events(wire.TaskEvent)} - before == {task_id, marker}


def test_local_time_of_huey_is_read_as_such(make_huey: MakeWorker) -> None:
    """With `utc=False` its times have no zone, and are those of the host."""
    worker = make_huey(TEST_LOCAL_TIME="1", TZ="America/New_York").start()
    before = time.time_ns() // 1_000
    task_id = worker.attached("add.schedule((1, 1), delay=1).id")
    published = worker.event(wire.TaskPublished, task_id)
    assert 0 < published.eta_us - before < 5_000_000
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.event(wire.TaskStarted, task_id).eta_us == published.eta_us


def test_consumer_of_greenlets_reports_the_same(
    make_huey: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Huey's own command hangs unless everything is patched before: applications start it so."""
    monkeypatch.setattr("tests.support.huey_worker.CONSUMER", GREENLETS)
    worker = make_huey().start("-k", "greenlet", "-w", "8")
    sent = worker.attached("[sleep(1).id for _ in range(8)]")
    eventually(lambda: len(worker.events(wire.TaskSucceeded)) == len(sent))
    starts, ends = worker.events(wire.TaskStarted), worker.events(wire.TaskSucceeded)
    assert max(one.at_us for one in starts) < min(one.at_us for one in ends)
    for task_id in sent:
        assert worker.kinds(task_id) == DONE
    limited = worker.attached("huey.enqueue(limited_twice.s(timeout=1)).id")
    assert worker.event(wire.TaskFailed, limited).reason == "timeout"
    assert worker.text.count("nothing listens at") == 1
    assert "Queuedeck's agent failed" not in worker.text
