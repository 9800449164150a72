# SPDX-License-Identifier: AGPL-3.0-only
"""Every kind of event of a real taskiq worker, read from its real spool."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from taskiq import InMemoryBroker
from tests.support import spool
from tests.support.celery_worker import eventually
from tests.support.taskiq_worker import Worker

from queuedeck_agent import wire
from queuedeck_agent.dsn import SealKey
from queuedeck_agent.engines.taskiq import boot as taskiq_boot
from queuedeck_agent.engines.taskiq import call as taskiq_call
from queuedeck_agent.seal import Seals

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("taskiq")).start()
    yield worker
    worker.close()


@pytest.mark.parametrize("name", ["add", "add_sync"])
def test_succeeded_task_is_started_and_succeeded(worker: Worker, name: str) -> None:
    task_id = worker.send(name, 2, 3)
    done = worker.event(wire.TaskSucceeded, task_id)
    assert worker.kinds(task_id) == [("TaskStarted", 1), ("TaskSucceeded", 1)]
    assert (done.result, done.name) == (b"5", f"tests.{name}")
    assert done.run_us > 0


def test_result_of_the_application_is_left_alone(worker: Worker) -> None:
    task_id = worker.send("add", 20, 3)
    worker.event(wire.TaskSucceeded, task_id)
    assert eventually(lambda: worker.redis.exists(f"{worker.queue}:{task_id}"))


def test_started_says_where_and_with_what(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("add", 2, 3))
    assert started.queue == worker.queue
    assert started.args == b'{"args":[2,3],"kwargs":{}}'
    assert started.worker.endswith(f":{started.pid}")
    assert (started.root_id, started.parent_id) == (started.task_id, "")
    assert started.published_us == 0


def test_sealed_call_is_the_original(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("login", "me", "sesame", tries=3))
    seals = Seals((SealKey(spool.SEAL_ID, spool.SEAL_KEY),))
    call = taskiq_call.unpack(
        seals.open("shop", started.source, started.name, started.task_id, started.sealed)
    )
    assert msgspec.json.decode(call.body) == [["me", "sesame"], {}]
    assert call.labels == {"tries": 3}
    assert b"sesame" not in started.args


def test_sender_with_agent_captures_once(worker: Worker) -> None:
    task_id = worker.attached("print((await add.kiq(3, 4)).task_id)")
    worker.event(wire.TaskSucceeded, task_id)
    published = worker.event(wire.TaskPublished, task_id)
    started = worker.event(wire.TaskStarted, task_id)
    assert published.args == b'{"args":[3,4],"kwargs":{}}'
    assert (published.queue, bool(published.sealed)) == (worker.queue, True)
    assert (started.args, started.sealed) == (b"", b"")
    assert started.published_us == published.at_us
    assert published.origin.partition("@")[0] != str(started.pid)


def test_source_is_named(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("add", 1, 1))
    source = worker.events(wire.SourceSeen)[0]
    assert (source.source, source.engine) == (started.source, "taskiq")
    assert source.name.startswith("redis://localhost:")


def test_failed_task_shows_its_error_without_the_secret(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("fail", "sesame-123"))
    assert (failed.exception, failed.reason) == ("ValueError", "error")
    assert failed.message == "cannot log in with password=[redacted: secret]"
    assert failed.traceback.rstrip().endswith(failed.message)


def test_retries_count_attempts(worker: Worker) -> None:
    """The retry middleware comes after ours here, and hides the error from the result."""
    task_id = worker.attached("print((await again.kiq()).task_id)")
    worker.event(wire.TaskFailed, task_id)
    assert sorted(worker.kinds(task_id)) == sorted(
        [(kind, attempt) for attempt in (1, 2, 3) for kind in ("TaskStarted", "TaskPublished")]
        + [("TaskRetrying", 1), ("TaskRetrying", 2), ("TaskFailed", 3)]
    )
    assert {one.exception for one in worker.events(wire.TaskRetrying, task_id)} == {"KeyError"}
    sealed = [bool(one.sealed) for one in worker.events(wire.TaskPublished, task_id)]
    assert sealed == [True, False, False]


def test_requeued_task_runs_again_as_another_attempt(worker: Worker) -> None:
    task_id = worker.send("requeued")
    assert worker.event(wire.TaskSucceeded, task_id).attempt == 2
    retrying = worker.event(wire.TaskRetrying, task_id)
    assert (retrying.attempt, retrying.exception) == (1, "")
    assert "requeue" in retrying.message


def test_timeout_is_told(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("slow", timeout=0.1))
    assert (failed.reason, failed.exception) == ("timeout", "TimeoutError")


def test_rejected_task_has_failed(worker: Worker) -> None:
    assert worker.event(wire.TaskFailed, worker.send("rejected")).reason == "rejected"


def test_task_without_result_is_ignored(worker: Worker) -> None:
    assert worker.event(wire.TaskCancelled, worker.send("ignored")).reason == "ignored"


def test_unknown_task_has_failed(worker: Worker) -> None:
    """taskiq calls no middleware for it."""
    failed = worker.event(wire.TaskFailed, worker.send("nowhere"))
    assert (failed.reason, failed.name) == ("rejected", "tests.nowhere")


def test_task_that_a_middleware_broke_never_started(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1, refuse=1)
    assert worker.event(wire.TaskFailed, task_id).exception == "PermissionError"
    assert worker.kinds(task_id) == [("TaskFailed", 1)]


def test_message_that_is_none_does_no_harm(worker: Worker) -> None:
    worker.redis.lpush(worker.queue, "{nonsense")
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert "Cannot parse message" in worker.text


def test_task_sent_by_a_task_knows_its_parent(worker: Worker) -> None:
    parent = worker.send("outer")
    child = msgspec.json.decode(worker.event(wire.TaskSucceeded, parent).result)
    published = worker.event(wire.TaskPublished, child)
    assert (published.parent_id, published.root_id) == (parent, parent)
    assert worker.event(wire.TaskStarted, child).parent_id == parent


def test_schedule_that_fired_it_is_named(worker: Worker) -> None:
    task_id = worker.attached(
        "from taskiq import TaskiqScheduler, ScheduledTask\n"
        "from taskiq.schedule_sources import LabelScheduleSource\n"
        "source = LabelScheduleSource(broker)\n"
        "task = ScheduledTask(task_name='tests.add', labels={}, args=[1, 1], kwargs={},\n"
        "    task_id='at-night', schedule_id='nightly', cron='* * * * *')\n"
        "await TaskiqScheduler(broker, [source]).on_ready(source, task)\n"
        "print(task.task_id)"
    )
    assert worker.event(wire.TaskPublished, task_id).schedule == "nightly"


def test_message_that_the_broker_refused_is_not_published(worker: Worker) -> None:
    code = (
        "from redis.asyncio import BlockingConnectionPool\n"
        "pool, broker.connection_pool = broker.connection_pool, BlockingConnectionPool(port=1)\n"
        "try: await add.kiq(77, 77)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "broker.connection_pool = pool"
    )
    assert worker.attached(code) == "SendTaskError"
    args = [event.args for event in worker.events(wire.TaskPublished)]
    assert b'{"args":[77,77],"kwargs":{}}' not in args


def test_broker_in_memory_is_left_alone() -> None:
    broker = InMemoryBroker(await_inplace=True)
    assert taskiq_boot.follow(broker, lambda: pytest.fail("started")) is None

    @broker.task
    async def double(x: int) -> int:
        return 2 * x

    async def run() -> int:
        return (await (await double.kiq(4)).wait_result()).return_value

    assert asyncio.run(run()) == 8
    assert broker.middlewares == []


def test_nothing_of_ours_failed(worker: Worker) -> None:
    assert "Queuedeck's agent failed" not in worker.text
