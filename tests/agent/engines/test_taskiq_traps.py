# SPDX-License-Identifier: AGPL-3.0-only
"""Messages that a stream gives out twice, functions that no time limit stops, broken pools."""

import pytest
from tests.support.celery_worker import eventually
from tests.support.taskiq_worker import MakeWorker

from queuedeck_agent import wire

pytestmark = pytest.mark.engine


def test_message_of_a_stream_that_is_given_out_twice(make_taskiq: MakeWorker) -> None:
    """A task that runs longer than `idle_timeout` runs a second time beside itself."""
    worker = make_taskiq(TEST_STREAM="soon").start(processes=2)
    task_id = worker.attached("print((await sleep.kiq(4)).task_id)")
    eventually(lambda: len(worker.events(wire.TaskSucceeded, task_id)) >= 2)
    starts = worker.events(wire.TaskStarted, task_id)
    assert len(starts) == len(worker.told("sleeps")) >= 2
    assert {one.attempt for one in starts} == {1}
    assert {one.published_us for one in starts} == {worker.event(wire.TaskPublished, task_id).at_us}


def test_function_goes_on_after_its_time_limit(make_taskiq: MakeWorker) -> None:
    """taskiq gives the timeout as the result, and cannot stop the thread: so do we."""
    worker = make_taskiq().start()
    task_id = worker.send("sleep_sync", 2, timeout=0.2)
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.reason == "timeout"
    eventually(lambda: worker.told("slept"))
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id) == [("TaskStarted", 1), ("TaskFailed", 1)]


def test_killed_process_of_a_pool_is_a_failure(make_taskiq: MakeWorker) -> None:
    """The worker lives on and stores an error, and fails every function after it."""
    worker = make_taskiq().start("--use-process-pool")
    task_id = worker.send("vanish")
    assert worker.event(wire.TaskFailed, task_id).exception.endswith("BrokenProcessPool")
    after = worker.event(wire.TaskFailed, worker.send("add_sync", 1, 1))
    assert after.exception.endswith("BrokenProcessPool")
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
