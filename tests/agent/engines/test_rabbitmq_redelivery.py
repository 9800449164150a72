# SPDX-License-Identifier: AGPL-3.0-only
"""A worker that is killed in the middle of a task: RabbitMQ gives the message out again at once,
marked as redelivered. It is the same task, and the same attempt."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.support import dramatiq_worker, rabbitmq
from tests.support.celery_worker import Worker, eventually

from queuedeck_agent import wire

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not rabbitmq.can_make_hosts(), reason="no RabbitMQ here whose virtual hosts can be made"
    ),
]
SENDING = {
    "celery": "from tests.support.celery_tasks import patient; print(patient.delay(3).id)",
    "dramatiq": "print(patient.send(3).message_id)",
}
Either = Worker | dramatiq_worker.Worker


class DramatiqWorker(dramatiq_worker.Worker):
    module = "tests.support.dramatiq_rabbit_tasks"


@pytest.fixture(params=SENDING)
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Either, str]]:
    """With the code that sends a task to it."""
    with rabbitmq.virtual_hosts("killed") as (url,):
        environment = {"TEST_QUEUES": url}
        made: Either = DramatiqWorker(tmp_path, environment)
        if request.param == "celery":
            made = Worker(tmp_path, environment=environment)
        yield made, SENDING[request.param]
        made.close()


def kill(worker: Either) -> None:
    """The worker and all its children."""
    process, worker.process = worker.process, None
    assert process is not None
    family = psutil.Process(process.pid)
    for one in (family, *family.children(recursive=True)):
        one.kill()
    process.wait(10)


def test_message_of_a_killed_worker_is_the_same_attempt(worker: tuple[Either, str]) -> None:
    worked, code = worker
    worked.start()
    task_id = worked.attached(code)
    eventually(lambda: worked.told("waits"))
    kill(worked)
    worked.start()
    worked.event(wire.TaskSucceeded, task_id, 30)
    starts = worked.events(wire.TaskStarted, task_id)
    assert [one.attempt for one in starts] == [1, 1]
    assert [one.redelivered for one in starts] == [False, True]
    assert starts[0].pid != starts[1].pid
    assert len(worked.told("waits")) == 2
    assert len(worked.told("waited")) == 1
    assert worked.events(wire.TaskLost, task_id) == worked.events(wire.TaskFailed, task_id) == []
