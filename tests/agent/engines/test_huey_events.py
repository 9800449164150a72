# SPDX-License-Identifier: AGPL-3.0-only
"""Every kind of event of a real Huey consumer with threads, read from its real spool."""

import hashlib
import json
from collections.abc import Iterator

import msgspec
import pytest
from benchmarks import payload
from tests.support import spool
from tests.support.celery_worker import BROKER, eventually
from tests.support.huey_worker import Worker

from queuedeck_agent import wire
from queuedeck_agent.dsn import SealKey
from queuedeck_agent.engines.huey import call as huey_call
from queuedeck_agent.engines.huey import stamp as huey_stamp
from queuedeck_agent.seal import Seals

pytestmark = pytest.mark.engine

DONE = [("Published", 1), ("Started", 1), ("Succeeded", 1)]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("huey"), TEST_RECEIVER="1").start()
    yield worker
    worker.close()


def opened(event: wire.TaskStarted | wire.TaskPublished) -> huey_call.SealedCall:
    seals = Seals((SealKey(spool.SEAL_ID, spool.SEAL_KEY),))
    return huey_call.unpack(
        seals.open("shop", event.source, event.name, event.task_id, event.sealed)
    )


def test_sent_task_is_published_started_succeeded(worker: Worker) -> None:
    task_id = worker.attached("add(2, 3).id")
    done = worker.event(wire.TaskSucceeded, task_id)
    assert worker.kinds(task_id) == DONE
    assert done.result == b"5"
    assert done.run_us > 0
    assert done.worker.startswith(f"{worker.queue}@")


def test_arguments_are_captured_once_by_the_sender(worker: Worker) -> None:
    task_id = worker.attached("login('bob', 'hunter2').id")
    worker.event(wire.TaskSucceeded, task_id)
    published = worker.event(wire.TaskPublished, task_id)
    started = worker.event(wire.TaskStarted, task_id)
    assert published.args == b'{"args":["bob",{"~redacted":"password"}],"kwargs":{}}'
    assert (started.args, started.sealed) == (b"", b"")
    assert started.published_us == published.at_us
    assert (published.queue, started.queue) == (worker.queue, worker.queue)
    assert "@" in published.origin
    assert started.pid > 0


def test_worker_captures_when_the_sender_has_no_agent(worker: Worker) -> None:
    task_id = worker.send("login('bob', 'hunter2').id")
    worker.event(wire.TaskSucceeded, task_id)
    started = worker.event(wire.TaskStarted, task_id)
    assert worker.kinds(task_id) == DONE[1:]
    assert json.loads(started.args)["args"] == ["bob", {"~redacted": "password"}]
    assert opened(started).queue == worker.queue
    assert started.published_us == 0


def test_secret_is_sealed_and_nowhere_else(worker: Worker) -> None:
    call = f"digest(*{payload.ARGS!r}, **{payload.KWARGS!r}).id"
    for send in (worker.attached, worker.send):
        task_id = send(call)
        worker.event(wire.TaskSucceeded, task_id)
        event = next(
            one
            for one in [
                *worker.events(wire.TaskPublished, task_id),
                *worker.events(wire.TaskStarted, task_id),
            ]
            if one.sealed
        )
        assert json.loads(event.args)["kwargs"]["api_token"] == {"~redacted": "token"}
        assert payload.SECRET.encode() in opened(event).message
    assert payload.SECRET.encode() not in spool.whole_bytes(worker.spool)


def test_source_is_named_without_password(worker: Worker) -> None:
    task_id = worker.attached("add(1, 1).id")
    worker.event(wire.TaskSucceeded, task_id)
    sources = worker.events(wire.SourceSeen)
    assert {one.source for one in sources} == {worker.event(wire.TaskStarted, task_id).source}
    place = BROKER.removeprefix("redis://").rpartition("@")[2].replace("127.0.0.1", "localhost")
    assert {(one.engine, one.name) for one in sources} == {("huey", f"redis://{place}")}


def test_failed_task_shows_its_error_without_the_secret(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.attached("fail('sesame-123').id"))
    assert failed.exception == "ValueError"
    assert failed.message == "cannot log in with password=[redacted: secret]"
    assert failed.traceback.rstrip().endswith(failed.message)
    assert (failed.reason, failed.attempt) == ("error", 1)
    assert failed.run_us > 0
    assert "queuedeck_agent" not in failed.traceback


@pytest.mark.parametrize("how", ["attached", "send"])
def test_retries_count_attempts_and_say_when(worker: Worker, how: str) -> None:
    task_id = getattr(worker, how)("again().id")
    worker.event(wire.TaskFailed, task_id)
    kinds = [one for one in worker.kinds(task_id) if one[0] != "Published"]
    assert kinds == [
        ("Started", 1), ("Retrying", 1), ("Started", 2), ("Retrying", 2), ("Started", 3),
        ("Failed", 3),
    ]  # fmt: skip
    retrying = worker.events(wire.TaskRetrying, task_id)[0]
    assert retrying.exception == "KeyError"
    assert 0 < retrying.next_us - retrying.at_us < 1_000_000
    assert "not yet" in retrying.traceback


def test_retry_that_the_task_asks_for_is_another_attempt(worker: Worker) -> None:
    task_id = worker.send("once_more().id")
    assert worker.event(wire.TaskSucceeded, task_id).attempt == 3
    first, second = worker.events(wire.TaskRetrying, task_id)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.next_us == 0  # Huey sends it at once
    assert second.next_us > second.at_us


@pytest.mark.parametrize("name", ["given_up", "vetoed"])
def test_execution_that_is_cancelled_by_the_application(worker: Worker, name: str) -> None:
    cancelled = worker.event(wire.TaskCancelled, worker.attached(f"{name}().id"))
    assert cancelled.reason == "ignored"
    assert not worker.told("vetoed")


def test_delayed_task_is_scheduled_and_starts_once(worker: Worker) -> None:
    task_id = worker.attached("add.schedule((1, 1), delay=1).id")
    done = worker.event(wire.TaskSucceeded, task_id)
    assert worker.kinds(task_id) == [DONE[0], ("Received", 1), *DONE[1:]]
    published = worker.event(wire.TaskPublished, task_id)
    assert 0 < published.eta_us - published.at_us <= 1_000_000
    assert worker.event(wire.TaskReceived, task_id).eta_us == published.eta_us
    assert done.at_us >= published.eta_us


def test_expired_task_is_cancelled(worker: Worker) -> None:
    task_id = worker.attached("huey.enqueue(add.s(1, 1, expires=-5)).id")
    assert worker.event(wire.TaskCancelled, task_id).reason == "expired"
    assert worker.event(wire.TaskPublished, task_id).expires_us > 0


def test_revoked_task_is_cancelled(worker: Worker) -> None:
    task_id = worker.attached("add.schedule((1, 1), delay=1).id")
    worker.event(wire.TaskReceived, task_id)
    worker.attached(f"huey.revoke_by_id({task_id!r})")
    assert worker.event(wire.TaskCancelled, task_id).reason == "revoked"
    assert ("Started", 1) not in worker.kinds(task_id)


def test_locked_task_is_refused(worker: Worker) -> None:
    worker.attached("huey.lock_task('one').acquire()")
    failed = worker.event(wire.TaskFailed, worker.attached("locked().id"))
    worker.attached("huey.lock_task('one').clear()")
    assert (failed.reason, failed.exception) == ("rejected", "huey.exceptions.TaskLockedException")
    worker.event(wire.TaskSucceeded, worker.attached("locked().id"))


def test_unknown_task_has_failed(worker: Worker) -> None:
    """Huey takes the message, logs an error and forgets it."""
    expression = "huey.enqueue(huey.task(name='nowhere')(lambda: None).s()).id"
    failed = worker.event(wire.TaskFailed, worker.attached(expression))
    assert failed.reason == "rejected"
    assert "nowhere not found" in failed.message


def test_task_that_exits_is_lost(worker: Worker) -> None:
    task_id = worker.attached("leaves().id")
    assert "SystemExit" in worker.event(wire.TaskLost, task_id).message


def test_task_of_a_task_knows_its_parent(worker: Worker) -> None:
    task_id = worker.attached("parent().id")
    child = json.loads(worker.event(wire.TaskSucceeded, task_id).result)
    worker.event(wire.TaskSucceeded, child)
    published = worker.event(wire.TaskPublished, child)
    assert (published.parent_id, published.root_id) == (task_id, task_id)
    assert worker.event(wire.TaskStarted, child).parent_id == task_id


def test_pipeline_is_a_line_of_parents(worker: Worker) -> None:
    first, second, third = worker.attached("pipeline()").split()
    assert worker.event(wire.TaskSucceeded, third).result == b"7"
    assert worker.event(wire.TaskPublished, second).parent_id == first
    link = worker.event(wire.TaskPublished, third)
    assert (link.parent_id, link.root_id) == (second, first)
    assert json.loads(link.args)["args"] == [3, 4]
    assert opened(worker.event(wire.TaskPublished, first)).linked


def test_chord_and_group_are_tied(worker: Worker) -> None:
    *members, body = worker.attached("chorded()").split()
    assert worker.event(wire.TaskSucceeded, body).result == b"6"
    published = [worker.event(wire.TaskPublished, one) for one in members]
    assert {one.chord_id for one in published} == {body}
    assert len({one.group_id for one in published} - {""}) == 1
    loose = worker.attached("grouped()").split()
    tied = {worker.event(wire.TaskPublished, one).group_id for one in loose}
    assert len(tied - {""}) == 1


def test_task_that_is_sent_twice_is_published_twice(worker: Worker) -> None:
    task_id = worker.attached("twice()")
    eventually(lambda: len(worker.events(wire.TaskSucceeded, task_id)) == 2)
    first, second = worker.events(wire.TaskPublished, task_id)
    assert first.at_us < second.at_us
    stamps = {one.published_us for one in worker.events(wire.TaskStarted, task_id)}
    assert stamps == {first.at_us, second.at_us}


def test_two_queues_of_a_process_are_one_source(worker: Worker) -> None:
    task_id = worker.attached("elsewhere(1).id")
    published = worker.event(wire.TaskPublished, task_id)
    assert published.queue == f"{worker.queue}other"
    assert len({one.source for one in worker.events(wire.SourceSeen)}) == 1


def test_refused_task_is_not_reported(worker: Worker) -> None:
    """The signal `enqueued` comes before the storage is asked."""
    assert worker.kinds(worker.attached("refused()")) == []


def test_immediate_mode_is_no_queue(worker: Worker) -> None:
    before = len(worker.events(wire.TaskEvent))
    assert worker.attached("at_once()") == [5, True]
    worker.event(wire.TaskSucceeded, worker.attached("add(7, 7).id"))
    assert len(worker.events(wire.TaskEvent)) == before + 3


def test_result_stays_for_the_application(worker: Worker) -> None:
    """Huey deletes a result when it is read: we never read one."""
    task_id = worker.attached("add(4, 4).id")
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.send(f"huey.result({task_id!r}, blocking=True, timeout=5)") == 8


def test_odd_values_are_shown_or_named(worker: Worker) -> None:
    assert worker.event(wire.TaskSucceeded, worker.attached("odd_result().id")).result == b'"nan"'
    task_id = worker.attached("awkward(Awkward()).id")
    assert worker.event(wire.TaskSucceeded, task_id).result == b'"Awkward"'
    assert b"huey_tasks.Awkward>" in worker.event(wire.TaskPublished, task_id).args


def test_huge_arguments_cost_no_record(worker: Worker) -> None:
    task_id = worker.attached("digest('x' * 5_000_000).id")
    worker.event(wire.TaskSucceeded, task_id, 30)
    published = worker.event(wire.TaskPublished, task_id)
    assert len(published.args) < 4096
    assert published.sealed == b""


def test_arguments_arrive_untouched(worker: Worker) -> None:
    task_id = worker.attached(f"digest(*{payload.ARGS!r}, **{payload.KWARGS!r}).id")
    worker.event(wire.TaskSucceeded, task_id)
    digest = hashlib.sha256(repr((tuple(payload.ARGS), payload.KWARGS)).encode()).hexdigest()
    assert ["digest", task_id, digest] in worker.told("digest")


def test_stamp_is_read_back_and_nothing_else_is_taken_for_one() -> None:
    stamp = huey_stamp.Stamp("one", 7, 3, True, "parent", "root", "group")
    written = huey_stamp.stamped(b"pickle.", stamp)
    assert huey_stamp.found_in(written) == stamp
    assert huey_stamp.found_in(memoryview(written)) == stamp
    assert huey_stamp.found_in(b"pickle.") is None
    assert huey_stamp.found_in(b"\xff\xff" + written[-11:]) is None
    assert huey_stamp.found_in(msgspec.json.encode({"id": "one"})) is None
