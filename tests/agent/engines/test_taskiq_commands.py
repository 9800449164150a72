# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and cancel against a real broker and worker: done, verified, or refused with the reason."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from benchmarks import payload
from tests.support import spool
from tests.support.celery_worker import BROKER
from tests.support.taskiq_worker import ListQueueBroker, Worker

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.taskiq import boot as taskiq_boot
from queuedeck_agent.engines.taskiq import call as taskiq_call
from queuedeck_agent.engines.taskiq.adapter import TaskiqEngine
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine


class Far:
    """An agent in this process, with a broker of its own on the worker's queue, and its loop."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        environment = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(folder)}
        self.agent = Agent(config.from_env(environment))
        self.broker = ListQueueBroker(BROKER, queue_name=worker.queue)
        boot = taskiq_boot.follow(self.broker, lambda: self.agent)
        assert boot is not None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.broker.startup(), self.loop).result(15)
        (engine,) = self.agent.engines
        assert isinstance(engine, TaskiqEngine)
        self.engine = engine
        self.folder = folder

    def execute(self, verb: str, task_id: str, name: str, sealed: bytes = b"") -> wire.CommandDone:
        seals, source = self.agent.seals, self.engine.source.key
        call = seals.open("shop", source, name, task_id, sealed) if sealed else b""
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, task_id, name, 60
        )
        return self.engine.execute(command, call)

    def events(self) -> list[wire.AnyEvent]:
        return spool.events(self.folder)

    def stop_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def close(self) -> None:
        self.agent.stop(0)
        if self.thread.is_alive():
            asyncio.run_coroutine_threadsafe(self.broker.shutdown(), self.loop).result(15)
            self.stop_loop()
        self.loop.close()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("taskiq")).start()
    yield worker
    worker.close()


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Worker]:
    """A worker that is not started."""
    worker = Worker(tmp_path)
    yield worker
    worker.close()


@pytest.fixture
def far(worker: Worker, tmp_path: Path) -> Iterator[Far]:
    far = Far(worker, tmp_path / "far")
    yield far
    far.close()


@pytest.fixture
def far_idle(idle: Worker, tmp_path: Path) -> Iterator[Far]:
    far = Far(idle, tmp_path / "far")
    yield far
    far.close()


def test_retry_runs_again_with_the_original_arguments(worker: Worker, far: Far) -> None:
    first = worker.send("digest", *payload.ARGS, kwargs=payload.KWARGS)
    started = worker.event(wire.TaskStarted, first)
    done = far.execute("retry", first, "tests.digest", started.sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    digest = hashlib.sha256(repr((tuple(payload.ARGS), payload.KWARGS)).encode()).hexdigest()
    assert worker.told("digest")[-2:] == [["digest", digest]] * 2
    assert done.verified


def test_retry_is_published_as_a_retry_of_the_old_task(worker: Worker, far: Far) -> None:
    first = worker.send("digest", *payload.ARGS, kwargs=payload.KWARGS)
    started = worker.event(wire.TaskStarted, first)
    done = far.execute("retry", first, "tests.digest", started.sealed)
    published = [one for one in far.events() if isinstance(one, wire.TaskPublished)]
    assert [(one.task_id, one.retry_of) for one in published] == [(done.new_task_id, first)]
    assert published[0].args == b""  # this process does not know the task's parameters
    assert worker.event(wire.TaskStarted, done.new_task_id).args == started.args
    assert payload.SECRET.encode() not in spool.whole_bytes(far.folder)
    again = far.execute("retry", done.new_task_id, "tests.digest", published[0].sealed)
    worker.event(wire.TaskSucceeded, again.new_task_id)


def test_retry_of_a_task_that_was_retried_begins_anew(worker: Worker, far: Far) -> None:
    first = worker.send("again", retry_on_error=True, max_retries=2)
    worker.event(wire.TaskFailed, first)
    sealed = worker.events(wire.TaskStarted, first)[0].sealed
    done = far.execute("retry", first, "tests.again", sealed)
    worker.event(wire.TaskFailed, done.new_task_id)
    assert [kind for kind in worker.kinds(done.new_task_id) if kind[0] == "TaskStarted"] == [
        ("TaskStarted", 1),
        ("TaskStarted", 2),
    ]


def test_retry_of_arguments_that_are_not_plain(worker: Worker, far: Far) -> None:
    code = (
        "import datetime\n"
        "print((await digest.kiq(datetime.datetime(2026, 1, 2, 3, 4), big=2**70)).task_id)"
    )
    first = worker.attached(code)
    sealed = worker.event(wire.TaskPublished, first).sealed
    done = far.execute("retry", first, "tests.digest", sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    assert worker.told("digest")[-1] == worker.told("digest")[-2]


def test_retry_of_nonsense_is_refused(far: Far) -> None:
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "tests.add", 60)
    with pytest.raises(CommandRefused, match="cannot be read"):
        far.engine.execute(command, b"nonsense")


def test_retry_of_another_format_is_refused(far: Far) -> None:
    call = msgspec.msgpack.encode(taskiq_call.SealedCall("app.Formatter app.Serializer", b"{}"))
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "tests.add", 60)
    with pytest.raises(CommandRefused, match=r"app\.Formatter"):
        far.engine.execute(command, call)


def test_application_whose_loop_has_ended_says_so(idle: Worker, tmp_path: Path) -> None:
    far = Far(idle, tmp_path / "far")
    far.stop_loop()
    with pytest.raises(CommandRefused, match="event loop"):
        far.execute("cancel", "x", "tests.add")
    far.close()


def test_waiting_message_is_taken_out_of_its_list(idle: Worker, far_idle: Far) -> None:
    kept, gone = idle.send("add", 1, 1), idle.send("add", 2, 2)
    assert far_idle.execute("cancel", gone, "tests.add").verified
    assert idle.waiting() == [kept]
    cancelled = [one for one in far_idle.events() if isinstance(one, wire.TaskCancelled)]
    assert [(one.task_id, one.reason) for one in cancelled] == [(gone, "revoked")]
    idle.start()
    idle.event(wire.TaskSucceeded, kept)
    assert idle.kinds(gone) == []


def test_message_that_a_worker_holds_is_not_yet_cancelled(worker: Worker, far: Far) -> None:
    task_id = worker.send("sleep", 1)
    worker.event(wire.TaskStarted, task_id)
    assert not far.execute("cancel", task_id, "tests.sleep").verified


def test_cancelled_message_is_skipped_before_it_runs(idle: Worker, far_idle: Far) -> None:
    gone, kept = idle.send("digest", 1), idle.send("digest", 2)
    environment = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(idle.spool)}
    host = Agent(config.from_env(environment))
    host.cancelled.add([(far_idle.engine.source.key, gone)])
    host.stop(0)
    idle.start()
    idle.event(wire.TaskSucceeded, kept)
    assert idle.event(wire.TaskCancelled, gone).reason == "revoked"
    assert idle.kinds(gone) == [("TaskCancelled", 1)]
    assert len(idle.told("digest")) == 1
    assert idle.results() == 1


def test_verbs_that_taskiq_cannot_do_are_refused_with_the_reason(far: Far) -> None:
    with pytest.raises(CommandRefused, match="no rate limits"):
        far.execute("rate", "", "tests.add")
    with pytest.raises(CommandRefused, match="this one only sends"):
        far.execute("terminate", "x", "tests.add")
    with pytest.raises(CommandRefused, match="knows no tasks"):
        far.execute("submit", "", "tests.add")
    said = far.engine.capabilities()
    assert {one.verb for one in said} == wire.VERBS.keys()
    assert all(one.reason for one in said if one.how != "native")
