# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and cancel against a real broker and worker: done, verified, or refused with the reason."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import msgspec
import pytest
from benchmarks import payload
from dramatiq.brokers.redis import RedisBroker
from tests.support import spool
from tests.support.celery_worker import BROKER, eventually
from tests.support.dramatiq_worker import Worker

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.dramatiq import boot as dramatiq_boot
from queuedeck_agent.engines.dramatiq import call as dramatiq_call
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine


class Far:
    """An agent in this process, with a broker of its own on the worker's queue."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        environment = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(folder)}
        self.agent = Agent(config.from_env(environment))
        self.broker = RedisBroker(url=BROKER, namespace=worker.queue)
        self.broker.declare_queue(worker.queue)
        boot = dramatiq_boot.follow(self.broker, lambda: self.agent)
        assert boot is not None
        self.boot = boot
        engine = boot.ready("producer")
        assert engine is not None
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

    def close(self) -> None:
        self.agent.stop(0)
        self.broker.close()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("dramatiq")).start()
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
    assert published[0].args == b""  # this process does not know the actor's parameters
    assert worker.event(wire.TaskStarted, done.new_task_id).args == started.args
    assert payload.SECRET.encode() not in spool.whole_bytes(far.folder)
    again = far.execute("retry", done.new_task_id, "tests.digest", published[0].sealed)
    worker.event(wire.TaskSucceeded, again.new_task_id)


def test_retry_of_a_message_that_was_retried_begins_anew(worker: Worker, far: Far) -> None:
    first = worker.send("again")
    worker.event(wire.TaskFailed, first)
    sealed = worker.events(wire.TaskStarted, first)[0].sealed
    done = far.execute("retry", first, "tests.again", sealed)
    worker.event(wire.TaskFailed, done.new_task_id)
    assert ("TaskStarted", 1) in worker.kinds(done.new_task_id)


def test_retry_of_a_pipeline_step_says_that_it_runs_alone(worker: Worker, far: Far) -> None:
    code = "p = (add.message(1, 1) | add.message(3)).run(); print(p.messages[0].message_id)"
    first = worker.attached(code)
    sealed = worker.event(wire.TaskPublished, first).sealed
    assert "It runs alone" in far.execute("retry", first, "tests.add", sealed).effect


def test_retry_of_nonsense_is_refused(far: Far) -> None:
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "tests.add", 60)
    with pytest.raises(CommandRefused, match="cannot be read"):
        far.engine.execute(command, b"nonsense")


def test_retry_of_another_encoding_is_refused(far: Far) -> None:
    call = msgspec.msgpack.encode(dramatiq_call.SealedCall("app.Encoder", b"{}"))
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "tests.add", 60)
    with pytest.raises(CommandRefused, match=r"app\.Encoder"):
        far.engine.execute(command, call)


def test_waiting_message_is_taken_out_of_its_queue(idle: Worker, far_idle: Far) -> None:
    kept, gone = idle.send("add", 1, 1), idle.send("add", 2, 2)
    assert far_idle.execute("cancel", gone, "tests.add").verified
    assert idle.waiting() == 1
    assert idle.redis.hlen(f"{idle.queue}:{idle.queue}.msgs") == 1
    cancelled = [one for one in far_idle.events() if isinstance(one, wire.TaskCancelled)]
    assert [(one.task_id, one.reason) for one in cancelled] == [(gone, "revoked")]
    idle.start()
    idle.event(wire.TaskSucceeded, kept)
    assert idle.kinds(gone) == []


def test_delayed_message_is_taken_out_of_its_queue(idle: Worker, far_idle: Far) -> None:
    gone = idle.send("add", 1, 1, delay=60_000)
    assert far_idle.execute("cancel", gone, "tests.add").verified
    assert idle.redis.llen(f"{idle.queue}:{idle.queue}.DQ") == 0


def test_message_that_a_worker_holds_is_not_yet_cancelled(worker: Worker, far: Far) -> None:
    task_id = worker.send("add", 1, 1, delay=1_000)
    worker.event(wire.TaskReceived, task_id)
    assert not far.execute("cancel", task_id, "tests.add").verified


def test_cancelled_message_is_skipped_before_the_actor_runs(idle: Worker) -> None:
    idle.start()
    source = idle.event(wire.TaskStarted, idle.send("add", 1, 1)).source
    idle.stop()
    gone, kept = idle.send("digest", 1), idle.send("digest", 2)
    folder = next(path.parent for path in idle.spool.rglob("lanes"))
    (folder / "cancelled").write_text(f"{source}\t{gone}\n")
    idle.start()
    idle.event(wire.TaskSucceeded, kept)
    assert idle.event(wire.TaskCancelled, gone).reason == "revoked"
    assert idle.kinds(gone) == [("TaskCancelled", 1)]
    assert len(idle.told("digest")) == 1


def test_running_message_is_not_stopped(idle: Worker, far_idle: Far) -> None:
    """In a worker that the application starts itself, without the command line."""
    running, release = threading.Event(), threading.Event()

    def wait() -> None:
        running.set()
        release.wait(20)

    actor = dramatiq.actor(
        wait, broker=far_idle.broker, queue_name=idle.queue, actor_name="tests.wait"
    )
    own = dramatiq.Worker(far_idle.broker, worker_threads=1, worker_timeout=50)
    own.start()
    task_id = actor.send().message_id
    assert running.wait(15)
    with pytest.raises(CommandRefused, match="running in a thread"):
        far_idle.execute("cancel", task_id, "tests.wait")
    assert far_idle.engine.info().slots == 1
    release.set()
    own.stop(10_000)
    kinds = [type(one).__name__ for one in far_idle.events() if isinstance(one, wire.TaskEvent)]
    assert sorted(kinds) == ["TaskPublished", "TaskStarted", "TaskSucceeded"]


def test_verbs_that_dramatiq_cannot_do_are_refused_with_the_reason(far: Far) -> None:
    eventually(lambda: far.engine.capabilities())
    with pytest.raises(CommandRefused, match="thread"):
        far.execute("terminate", "x", "tests.add")
