# SPDX-License-Identifier: AGPL-3.0-only
"""Worker processes that are several, stop, vanish, or have other brokers and middlewares."""

import pytest
from tests.support.celery_worker import eventually
from tests.support.taskiq_worker import MakeWorker

from queuedeck_agent import wire

pytestmark = pytest.mark.engine


def test_forked_processes_report_as_workers_of_their_own(make_taskiq: MakeWorker) -> None:
    worker = make_taskiq().start("--max-async-tasks", "1", processes=2)
    sent = [worker.send("sleep", 0.4) for _ in range(6)]
    ends = [worker.event(wire.TaskSucceeded, task_id) for task_id in sent]
    pids = {line[1] for line in worker.told("sleeps")}
    assert {end.worker.rpartition(":")[2] for end in ends} == pids
    assert len(pids) == 2


def test_running_task_is_told_when_the_worker_stops(make_taskiq: MakeWorker) -> None:
    worker = make_taskiq().start()
    task_id = worker.send("sleep", 0.5)
    eventually(lambda: worker.told("sleeps"))
    worker.stop()
    assert eventually(lambda: worker.kinds(task_id)[1:]) == [("TaskSucceeded", 1)]


def test_process_that_vanishes_leaves_a_start_without_end(make_taskiq: MakeWorker) -> None:
    worker = make_taskiq().start()
    task_id = worker.send("vanish")
    eventually(lambda: worker.listening() == 2)  # the manager starts another process
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id) == [("TaskStarted", 1)]


def test_worker_without_dsn_runs_as_ever(make_taskiq: MakeWorker) -> None:
    worker = make_taskiq(QUEUEDECK_DSN="").start()
    worker.send("digest", 1)
    eventually(lambda: worker.told("digest"))
    assert not worker.spool.exists()


@pytest.mark.parametrize("middleware", ["smart", "keeping"])
def test_retries_of_other_middlewares(make_taskiq: MakeWorker, middleware: str) -> None:
    worker = make_taskiq(TEST_RETRIES=middleware).start()
    task_id = worker.send("again", retry_on_error=True, max_retries=2)
    worker.event(wire.TaskFailed, task_id)
    expected = [("TaskStarted", 1), ("TaskPublished", 2), ("TaskRetrying", 1)]
    expected += [("TaskStarted", 2), ("TaskFailed", 2)]
    assert sorted(worker.kinds(task_id)) == sorted(expected)


def test_stream_with_a_process_pool(make_taskiq: MakeWorker) -> None:
    worker = make_taskiq(TEST_STREAM="1").start("--use-process-pool")
    task_id = worker.attached("print((await add_sync.kiq(2, 3)).task_id)")
    assert worker.event(wire.TaskSucceeded, task_id).result == b"5"
    assert worker.event(wire.TaskPublished, task_id).queue == worker.queue
    assert worker.redis.xpending(worker.queue, "taskiq")["pending"] == 0
