# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and cancel against a real worker: done, verified, or refused with the reason."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import payload
from tests.agent.engines.conftest import MakeWorker
from tests.support import spool
from tests.support.celery_worker import Worker, eventually

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery import abilities, call
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

    def execute(
        self,
        verb: str,
        task_id: str,
        name: str,
        sealed: bytes = b"",
        queue: str = "",
        **details: Any,
    ) -> wire.CommandDone:
        seals, source = self.agent.seals, self.engine.source.key
        opened = seals.open("shop", source, name, task_id, sealed) if sealed else b""
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, task_id, name, 60,
            queue=queue, details=wire.CommandDetails(**details),
        )  # fmt: skip
        return self.engine.execute(command, opened)

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
    with pytest.raises(CommandRefused, match="explode"):
        far.execute("explode", "x", "tests.add")


@pytest.mark.parametrize("broker", ["redis", "amqp", "SQS"])
@pytest.mark.parametrize("role", ["worker", "producer", "scheduler"])
@pytest.mark.parametrize("pool", ["", "prefork", "threads", "solo", "gevent"])
def test_capabilities_name_every_verb_with_a_reason(broker: str, role: str, pool: str) -> None:
    found = {one.verb: one for one in abilities.all_of(broker, role, pool, "")}
    assert list(found) == list(wire.VERBS)
    assert {one.how for one in found.values()} <= {"native", "emulated", "none"}
    assert all(one.reason for one in found.values())


def test_threads_can_neither_stop_a_task_nor_grow(make_worker: MakeWorker) -> None:
    found = {one.verb: one.how for one in abilities.all_of("redis", "worker", "threads", "")}
    assert (found["terminate"], found["pool"]) == ("none", "none")


def test_edit_opens_a_pickle_of_an_application_that_accepts_pickles(
    worker: Worker, far: Far
) -> None:
    body = call.serialise(((1, 2), "sesame"), {}, False, "pickle", True)
    original = call.pack(body, {}, {"routing_key": worker.queue}, None, (None, None))
    assert call.unpack(original).content_type == "application/x-python-serialize"
    given = wire.CommandDetails(args=b'{"args": [[1, 2], "other"], "kwargs": {}}')
    command = wire.CommandBody(
        "0" * 32, "", b"", "shop", "edit", "", "old", "tests.digest", 60, details=given
    )
    with pytest.raises(CommandRefused, match="cannot open") as refusal:
        far.engine.execute(command, original)
    assert refusal.value.code == "unsupported"
    worker.client.conf.accept_content = ["json", "pickle"]
    done = far.engine.execute(command, original)
    worker.client.conf.accept_content = ["json"]
    worker.event(wire.TaskSucceeded, done.new_task_id)
    expected = hashlib.sha256(repr((((1, 2), "other"), {})).encode()).hexdigest()
    ((_, _, digest),) = [one for one in worker.told("digest") if one[1] == done.new_task_id]
    assert digest == expected, "the tuple that was left as it was shown is still a tuple"


def test_edit_can_say_queue_priority_and_delay(
    make_worker: MakeWorker, worker: Worker, far: Far
) -> None:
    task_id = worker.send("add", 1, 1)
    sealed = worker.event(wire.TaskStarted, task_id).sealed
    idle = make_worker()
    worker.client.amqp.queues.add(idle.queue)
    given = json.dumps({"args": [1, 5], "kwargs": {}}).encode()
    more: dict[str, Any] = {"queue": idle.queue, "priority": 3, "delay_s": 60}
    details = wire.CommandDetails(args=given, **more)
    command = wire.CommandBody(
        "0" * 32, "", b"", "shop", "edit", far.engine.source.key, task_id, "tests.add", 60,
        details=details,
    )  # fmt: skip
    opened = far.agent.seals.open("shop", far.engine.source.key, "tests.add", task_id, sealed)
    done = far.engine.execute(command, opened)
    (message,) = idle.redis.lrange(f"{idle.queue}\x06\x163", 0, -1)
    found = json.loads(message)
    assert found["headers"]["id"] == done.new_task_id
    assert found["properties"]["priority"] == 3
    (published,) = [one for one in spool.events(far.folder) if isinstance(one, wire.TaskPublished)]
    assert 55_000_000 < published.eta_us - published.at_us < 65_000_000
    assert published.queue == idle.queue


def test_edit_to_a_queue_that_nobody_declared_is_refused(worker: Worker, far: Far) -> None:
    task_id = worker.send("add", 1, 1)
    sealed = worker.event(wire.TaskStarted, task_id).sealed
    source = far.engine.source.key
    details = wire.CommandDetails(args=b'{"args": [1, 2]}', queue="nowhere-at-all")
    command = wire.CommandBody(
        "0" * 32, "", b"", "shop", "edit", source, task_id, "tests.add", 60, details=details
    )
    opened = far.agent.seals.open("shop", source, "tests.add", task_id, sealed)
    with pytest.raises(CommandRefused, match="Nobody has declared a queue `nowhere-at-all`"):
        far.engine.execute(command, opened)
    assert worker.redis.exists("nowhere-at-all", "_kombu.binding.nowhere-at-all") == 0


transferred: list[int] = []


def transfer(amount: int) -> None:
    transferred.append(amount)


def test_submit_checks_the_arguments_and_names_what_is_near(far: Far) -> None:
    far.engine.app.task(name="tests.transfer", shared=False)(transfer)
    with pytest.raises(CommandRefused, match="does not take these arguments") as refusal:
        far.execute("submit", "", "tests.transfer", args=b'{"args": [1, 2, 3]}')
    assert refusal.value.code == "invalid"
    with pytest.raises(CommandRefused, match=r"It knows tests\.transfer"):
        far.execute("submit", "", "tests.transfers", args=b"{}")


def test_submit_does_not_run_a_task_where_all_run_at_once(far: Far) -> None:
    far.engine.app.task(name="tests.transfer", shared=False)(transfer)
    far.engine.app.conf.task_always_eager = True
    try:
        with pytest.raises(CommandRefused, match="task_always_eager"):
            far.execute("submit", "", "tests.transfer", args=b'{"args": [1]}')
    finally:
        far.engine.app.conf.task_always_eager = False
    assert transferred == []


@pytest.mark.parametrize("priority", [-1, 10])
def test_priority_outside_of_the_scale_is_refused(far: Far, priority: int) -> None:
    with pytest.raises(CommandRefused, match="a priority is 0"):
        far.execute("priority", "x", "tests.add", priority=priority)


def test_reconcile_tells_what_is_due_later_and_what_has_ended(worker: Worker, far: Far) -> None:
    later = worker.send("add", 1, 1, countdown=60)
    worker.event(wire.TaskReceived, later)
    assert json.loads(far.execute("reconcile", later, "tests.add").found)["state"] == "scheduled"
    far.execute("cancel", later, "tests.add")
    ended = worker.send("add", 1, 1)
    worker.event(wire.TaskSucceeded, ended)
    far.engine.app.conf.result_backend = worker.client.conf.broker_url
    assert json.loads(far.execute("reconcile", ended, "tests.add").found)["state"] in (
        "succeeded", "gone",
    )  # fmt: skip


def test_peek_does_not_open_a_pickle(make_worker: MakeWorker, tmp_path: Path) -> None:
    idle = make_worker()
    far = Far(idle, tmp_path / "far", "observe")
    idle.send("digest", Trap(tmp_path / "ran"), serializer="pickle", argsrepr="('a trap',)")
    (one,) = json.loads(far.execute("peek", "", "", queue=idle.queue).found)
    assert one["args"] is None, "of a task that is not known here"
    far.engine.app.task(name=one["name"])(idle.send)
    (one,) = json.loads(far.execute("peek", "", "", queue=idle.queue).found)
    assert one["args"]["args"] == {"~repr": "('a trap',)"}
    assert not (tmp_path / "ran").exists()
    far.close()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "unpickled")


def test_pause_by_a_process_that_is_no_worker_is_only_asked_for(
    make_worker: MakeWorker, tmp_path: Path
) -> None:
    far = Far(make_worker(), tmp_path / "far", "pause")
    done = far.execute("pause", "", "", queue="mail", reason="a test")
    assert not done.verified
    assert far.agent.paused.queues(far.engine.source.key) == {"mail"}
    far.close()


def test_info_describes_the_worker(worker: Worker) -> None:
    """What the hello says comes from the worker itself: asked here through its own log line."""
    engine = CeleryEngine(worker.client, "producer")
    info = engine.info()
    assert (info.engine, info.role, info.worker) == ("celery", "producer", "")
    assert not any(name.startswith("celery.") for name in info.tasks)
