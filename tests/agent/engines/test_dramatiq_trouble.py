# SPDX-License-Identifier: AGPL-3.0-only
"""Worker processes that are several, stop, vanish or run without us."""

import pytest
from tests.support.celery_worker import eventually
from tests.support.dramatiq_worker import MakeWorker

from queuedeck_agent import wire

pytestmark = pytest.mark.engine


def test_forked_processes_report_as_workers_of_their_own(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq(dramatiq_queue_prefetch="1").start(processes=2, threads=1)
    sent = [worker.send("sleep", 0.3) for _ in range(4)]
    ends = [worker.event(wire.TaskSucceeded, task_id) for task_id in sent]
    pids = {line[1] for line in worker.told("sleeps")}
    assert {end.worker.rpartition(":")[2] for end in ends} == pids
    assert len(pids) == 2
    assert "Queuedeck's agent failed" not in worker.text


def test_running_message_is_told_when_the_worker_stops(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq().start()
    task_id = worker.send("sleep", 0.5)
    eventually(lambda: worker.told("sleeps"))
    worker.stop()
    assert worker.kinds(task_id) == [("TaskStarted", 1), ("TaskSucceeded", 1)]


def test_process_that_vanishes_leaves_a_start_without_end(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq().start()
    task_id = worker.send("vanish")
    assert worker.process is not None
    worker.process.wait(20)  # dramatiq ends when a process of it does
    assert worker.kinds(task_id) == [("TaskStarted", 1)]
    worker.start()
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))


def test_worker_without_dsn_runs_as_ever(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq(QUEUEDECK_DSN="").start()
    worker.send("digest", 1)
    eventually(lambda: worker.told("digest"))
    assert not worker.spool.exists()


def test_worker_without_middlewares_of_dramatiq_reports_failures(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq(TEST_MIDDLEWARES="none").start()
    task_id = worker.send("again")
    assert worker.event(wire.TaskFailed, task_id).exception == "KeyError"
    assert worker.kinds(task_id) == [("TaskStarted", 1), ("TaskFailed", 1)]


def test_pickled_messages_are_sealed_in_their_own_encoding(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq(TEST_ENCODER="pickle").start()
    task_id = worker.attached("print(digest.send(1, thing={1, 2}).message_id)")
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.event(wire.TaskPublished, task_id).sealed
