# SPDX-License-Identifier: AGPL-3.0-only
"""A worker that loses its broker in the middle of a task, on a Redis of this test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from tests.support.celery_worker import Worker, eventually

from queuedeck.demo.broker import start_broker
from queuedeck_agent import wire

pytestmark = pytest.mark.engine


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    process, url = start_broker(tmp_path)
    worker = Worker(tmp_path, environment={"TEST_BROKER": url, "TEST_CANCEL": "1"})
    worker.redis = redis.Redis.from_url(url, decode_responses=True)
    worker.client = Celery("client", broker=url)
    yield worker
    worker.close()
    process.stop()


def test_task_that_celery_cancels_with_the_connection_runs_again(worker: Worker) -> None:
    """With `worker_cancel_long_running_tasks_on_connection_loss` the parent ends the child and
    signals a retry, but the attempt is the same: the message is given out again."""
    worker.start()
    task_id = worker.send("patient", 5)
    eventually(lambda: worker.told("waits"))
    for kind in ("normal", "pubsub"):
        worker.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    eventually(lambda: len(worker.told("waits")) == 2, 40)
    worker.event(wire.TaskSucceeded, task_id, 40)
    kinds = {kind for kind, _ in worker.kinds(task_id)}
    assert kinds == {"TaskReceived", "TaskStarted", "TaskSucceeded"}
    assert [one.attempt for one in worker.events(wire.TaskStarted, task_id)] == [1, 1]
    assert len(worker.told("waited")) == 1
