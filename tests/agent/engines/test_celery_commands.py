# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and cancel against a real worker: done, verified, or refused with the reason."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import payload
from tests.agent.engines.conftest import MakeWorker
from tests.support import spool
from tests.support.celery_worker import Worker, eventually

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery.adapter import CeleryEngine
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine


class Far:
    """An agent in this process, whose adapter commands the worker's application."""

    def __init__(self, worker: Worker, folder: Path, allow: str) -> None:
        environment = {"QUEUEDECK_SPOOL": str(folder), "QUEUEDECK_ALLOW": allow}
        settings = config.from_env({"QUEUEDECK_DSN": spool.dsn(), **environment})
        self.agent = Agent(settings)
        self.engine = CeleryEngine(worker.client, "producer")
        self.engine.attach(self.agent)
        self.engine.detach()  # this process publishes as one without an agent
        self.folder = folder

    def execute(self, verb: str, task_id: str, name: str, sealed: bytes = b"") -> wire.CommandDone:
        seals, source = self.agent.seals, self.engine.source.key
        call = seals.open("shop", source, name, task_id, sealed) if sealed else b""
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, task_id, name, 60
        )
        return self.engine.execute(command, call)

    def close(self) -> None:
        self.agent.stop(0)


@pytest.fixture
def far(worker: Worker, tmp_path: Path) -> Iterator[Far]:
    far = Far(worker, tmp_path, "observe,retry,cancel")
    yield far
    far.close()


def test_retry_runs_again_with_the_original_arguments(worker: Worker, far: Far) -> None:
    first = worker.send("digest", *payload.ARGS, kwargs=payload.KWARGS)
    started = worker.event(wire.TaskStarted, first)
    done = far.execute("retry", first, "tests.digest", started.sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    digest = hashlib.sha256(repr((tuple(payload.ARGS), payload.KWARGS)).encode()).hexdigest()
    assert [line[1:] for line in worker.told("digest") if line[1] in (first, done.new_task_id)] == [
        [first, digest],
        [done.new_task_id, digest],
    ]
    assert done.verified


def test_retry_is_published_as_a_retry_of_the_old_task(worker: Worker, far: Far) -> None:
    first = worker.send("digest", *payload.ARGS, kwargs=payload.KWARGS)
    started = worker.event(wire.TaskStarted, first)
    done = far.execute("retry", first, "tests.digest", started.sealed)
    events = [event for event in spool.events(far.folder) if isinstance(event, wire.TaskPublished)]
    assert (events[0].retry_of, events[0].task_id) == (first, done.new_task_id)
    assert events[0].args == started.args
    assert payload.SECRET.encode() not in spool.whole_bytes(far.folder)
    again = far.execute("retry", done.new_task_id, "tests.digest", events[0].sealed)
    worker.event(wire.TaskSucceeded, again.new_task_id)


def test_retry_of_a_pickled_call_sends_the_same_bytes(worker: Worker, far: Far) -> None:
    code = "from tests.support import celery_tasks as t; print(t.awkward.delay(t.Awkward()).id)"
    first = worker.attached(code)
    sealed = worker.event(wire.TaskPublished, first).sealed
    done = far.execute("retry", first, "tests.awkward", sealed)
    assert worker.event(wire.TaskSucceeded, done.new_task_id).result == b'"Awkward"'
    assert b"~repr" in worker.event(wire.TaskStarted, done.new_task_id).args


def test_retry_says_that_links_are_not_repeated(worker: Worker, far: Far) -> None:
    code = (
        "from celery import chain; from tests.support import celery_tasks as t;"
        "print(chain(t.add.s(1, 1), t.add.s(3)).delay().parent.id)"
    )
    first = worker.attached(code)
    sealed = worker.event(wire.TaskPublished, first).sealed
    assert "It runs alone" in far.execute("retry", first, "tests.add", sealed).effect


def test_retry_of_nonsense_is_refused(far: Far) -> None:
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "tests.add", 60)
    with pytest.raises(CommandRefused, match="cannot be read"):
        far.engine.execute(command, b"nonsense")


def test_waiting_task_is_taken_out_of_its_queue(make_worker: MakeWorker, tmp_path: Path) -> None:
    worker = make_worker()
    far = Far(worker, tmp_path / "far", "observe,cancel")
    kept, gone = worker.send("add", 1, 1), worker.send("add", 2, 2)
    done = far.execute("cancel", gone, "tests.add")
    assert done.verified
    assert worker.redis.llen(worker.queue) == 1
    worker.start()
    worker.event(wire.TaskSucceeded, kept)
    assert worker.kinds(gone) == []
    far.close()


def test_held_task_is_revoked_and_not_yet_verified(worker: Worker, far: Far) -> None:
    task_id = worker.send("add", 1, 1, countdown=2)
    worker.event(wire.TaskReceived, task_id)
    done = far.execute("cancel", task_id, "tests.add")
    assert not done.verified
    assert worker.event(wire.TaskCancelled, task_id).reason == "revoked"
    assert ("TaskStarted", 1) not in worker.kinds(task_id)


def test_running_task_is_not_stopped_without_permission(worker: Worker, far: Far) -> None:
    task_id = worker.send("sleep", 3)
    eventually(lambda: [line for line in worker.told("sleeps") if task_id in line])
    with pytest.raises(CommandRefused, match="QUEUEDECK_ALLOW"):
        far.execute("cancel", task_id, "tests.sleep")
    worker.event(wire.TaskSucceeded, task_id)


def test_running_task_is_stopped_where_the_host_allows(worker: Worker, tmp_path: Path) -> None:
    far = Far(worker, tmp_path, "cancel,terminate")
    task_id = worker.send("sleep", 30)
    eventually(lambda: [line for line in worker.told("sleeps") if task_id in line])
    far.execute("cancel", task_id, "tests.sleep")
    assert worker.event(wire.TaskCancelled, task_id).reason == "terminated"
    far.close()


def test_cancelled_task_does_not_start_after_a_restart(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    task_id = worker.send("add", 1, 1, countdown=3)
    source = worker.event(wire.TaskReceived, task_id).source
    worker.stop()
    folder = next(path.parent for path in worker.spool.rglob("lanes"))
    (folder / "cancelled").write_text(f"{source}\t{task_id}\n")
    worker.start()
    assert worker.event(wire.TaskCancelled, task_id, 20).reason == "revoked"
    assert ("TaskStarted", 1) not in worker.kinds(task_id)


def test_unknown_verb_is_unsupported(far: Far) -> None:
    with pytest.raises(CommandRefused, match="purge"):
        far.execute("purge", "x", "tests.add")


def test_capabilities_name_every_verb_with_a_reason(far: Far) -> None:
    found = {one.verb: one for one in far.engine.capabilities()}
    assert found["retry"].how == "emulated"
    assert found["cancel"].how == "native"
    assert all(one.reason for one in found.values())


def test_info_describes_the_worker(worker: Worker) -> None:
    """What the hello says comes from the worker itself: asked here through its own log line."""
    engine = CeleryEngine(worker.client, "producer")
    info = engine.info()
    assert (info.engine, info.role, info.worker) == ("celery", "producer", "")
    assert not any(name.startswith("celery.") for name in info.tasks)
