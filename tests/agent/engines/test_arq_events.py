# SPDX-License-Identifier: AGPL-3.0-only
"""Every kind of event of a real arq worker, read from its real spool."""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks import payload
from tests.support import spool
from tests.support.arq_worker import Worker
from tests.support.celery_worker import BROKER, eventually

from queuedeck_agent import wire
from queuedeck_agent.dsn import SealKey
from queuedeck_agent.engines.arq import call as arq_call
from queuedeck_agent.seal import Seals

pytestmark = pytest.mark.engine

DONE = [("Published", 1), ("Started", 1), ("Succeeded", 1)]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("arq"), TEST_ABORT="1").start()
    yield worker
    worker.close()


def opened(event: wire.TaskStarted | wire.TaskPublished) -> arq_call.SealedCall:
    seals = Seals((SealKey(spool.SEAL_ID, spool.SEAL_KEY),))
    return arq_call.unpack(
        seals.open("shop", event.source, event.name, event.task_id, event.sealed)
    )


def test_sent_job_is_published_started_succeeded(worker: Worker) -> None:
    job_id = worker.attached("send('add', 2, 3)")
    done = worker.event(wire.TaskSucceeded, job_id)
    assert worker.kinds(job_id) == DONE
    assert done.result == b"5"
    assert done.run_us > 0
    assert done.worker.startswith(f"{worker.queue}@")
    assert worker.send(f"result({job_id!r})") == 5


def test_arguments_are_captured_once_by_the_sender(worker: Worker) -> None:
    job_id = worker.attached("send('login', 'bob', password='hunter2')")
    worker.event(wire.TaskSucceeded, job_id)
    published = worker.event(wire.TaskPublished, job_id)
    started = worker.event(wire.TaskStarted, job_id)
    assert json.loads(published.args)["kwargs"] == {"password": {"~redacted": "password"}}
    assert (started.args, started.sealed) == (b"", b"")
    assert started.published_us == published.at_us
    assert (published.queue, started.queue) == (worker.queue, worker.queue)
    assert "@" in published.origin
    assert started.pid > 0


def test_secret_of_a_function_that_the_sender_does_not_know_is_not_shown(worker: Worker) -> None:
    job_id = worker.attached("send('enter', 'bob', 'hunter2')")
    worker.event(wire.TaskSucceeded, job_id)
    published = worker.event(wire.TaskPublished, job_id)
    started = worker.event(wire.TaskStarted, job_id)
    assert json.loads(started.args)["args"] == ["bob", {"~redacted": "password"}]
    assert published.args == b""
    assert opened(published).queue == worker.queue
    assert started.sealed == b""


def test_worker_captures_when_the_sender_has_no_agent(worker: Worker) -> None:
    before = time.time_ns() // 1_000
    job_id = worker.send("send('login', 'bob', 'hunter2')")
    worker.event(wire.TaskSucceeded, job_id)
    started = worker.event(wire.TaskStarted, job_id)
    assert worker.kinds(job_id) == DONE[1:]
    assert json.loads(started.args)["args"] == ["bob", {"~redacted": "password"}]
    assert opened(started).queue == worker.queue
    assert before - 1_000 <= started.published_us <= started.at_us


def test_secret_is_sealed_and_nowhere_else(worker: Worker) -> None:
    call = f"send('digest', *{payload.ARGS!r}, **{payload.KWARGS!r})"
    digest = hashlib.sha256(repr((tuple(payload.ARGS), payload.KWARGS)).encode()).hexdigest()
    for send, kind in ((worker.attached, wire.TaskPublished), (worker.send, wire.TaskStarted)):
        job_id = send(call)
        worker.event(wire.TaskSucceeded, job_id)
        event: Any = worker.event(kind, job_id)
        assert json.loads(event.args)["kwargs"]["api_token"] == {"~redacted": "token"}
        assert payload.SECRET.encode() in opened(event).message
        assert ["digest", job_id, digest] in worker.told("digest")
    assert payload.SECRET.encode() not in spool.whole_bytes(worker.spool)


def test_source_is_named_without_password(worker: Worker) -> None:
    job_id = worker.attached("send('add', 1, 1)")
    worker.event(wire.TaskSucceeded, job_id)
    sources = worker.events(wire.SourceSeen)
    assert {one.source for one in sources} == {worker.event(wire.TaskStarted, job_id).source}
    place = BROKER.removeprefix("redis://").rpartition("@")[2].replace("127.0.0.1", "localhost")
    assert {(one.engine, one.name) for one in sources} == {("arq", f"redis://{place}")}


def test_failed_job_shows_its_error_without_the_secret(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.attached("send('fail', 'sesame-123')"))
    assert failed.exception == "ValueError"
    assert failed.message == "cannot log in with password=[redacted: secret]"
    assert failed.traceback.rstrip().endswith(failed.message)
    assert (failed.reason, failed.attempt) == ("error", 1)
    assert failed.run_us > 0
    log = eventually(lambda: "ValueError: cannot log in" in worker.text and worker.text)
    assert "queuedeck_agent" not in failed.traceback + log


@pytest.mark.parametrize("defer", [None, 0.2])
def test_retries_count_attempts_and_say_when(worker: Worker, defer: float | None) -> None:
    job_id = worker.attached(f"send('again', {defer})")
    assert worker.event(wire.TaskSucceeded, job_id).attempt == 3
    assert worker.kinds(job_id) == [
        DONE[0], ("Started", 1), ("Retrying", 1), ("Started", 2), ("Retrying", 2), ("Started", 3),
        ("Succeeded", 3),
    ]  # fmt: skip
    retrying = worker.events(wire.TaskRetrying, job_id)[0]
    assert retrying.exception == "arq.worker.Retry"
    assert retrying.next_us == (retrying.at_us + 200_000 if defer else 0)


def test_job_that_is_out_of_attempts_has_failed(worker: Worker) -> None:
    """None of arq's hooks is called for this."""
    job_id = worker.attached("send('for_ever')")
    failed = worker.event(wire.TaskFailed, job_id)
    assert (failed.attempt, failed.reason) == (4, "rejected")
    assert failed.message == "max 3 retries exceeded"
    assert ("Started", 4) not in worker.kinds(job_id)


def test_unknown_function_has_failed(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.attached("send('nowhere', 1)"))
    assert (failed.reason, failed.name) == ("rejected", "nowhere")
    assert failed.message == "function 'nowhere' not found"


def test_unreadable_job_has_failed(worker: Worker) -> None:
    job_id = worker.attached("send('add', 1, 1, _defer_by=0.5)")
    worker.attached(f"overwrite({job_id!r}, 'no pickle')")
    failed = worker.event(wire.TaskFailed, job_id)
    assert (failed.reason, failed.exception) == ("rejected", "arq.jobs.DeserializationError")


def test_expired_job_is_cancelled(worker: Worker) -> None:
    job_id = worker.attached("send('add', 1, 1, _defer_by=0.5, _expires=0.1)")
    assert worker.event(wire.TaskCancelled, job_id).reason == "expired"
    published = worker.event(wire.TaskPublished, job_id)
    assert published.expires_us == published.at_us + 100_000
    assert worker.kinds(job_id) == [DONE[0], ("Cancelled", 1)]


@pytest.mark.parametrize("name", ["limited", "hasty"])
def test_time_limit_is_a_timeout_with_and_without_a_result(worker: Worker, name: str) -> None:
    failed = worker.event(wire.TaskFailed, worker.attached(f"send({name!r}, 30)"))
    assert (failed.reason, failed.exception) == ("timeout", "TimeoutError")
    assert failed.message == "The job ran longer than its time limit of 1 s."
    assert 900_000 < failed.run_us < 5_000_000
    assert failed.name == name


def test_deferred_job_is_scheduled(worker: Worker) -> None:
    job_id = worker.attached("send('add', 1, 1, _defer_by=1)")
    done = worker.event(wire.TaskSucceeded, job_id)
    published = worker.event(wire.TaskPublished, job_id)
    assert published.eta_us == published.at_us + 1_000_000
    assert worker.event(wire.TaskStarted, job_id).eta_us == published.eta_us
    assert done.at_us >= published.eta_us


def test_job_that_runs_is_aborted(worker: Worker) -> None:
    job_id = worker.attached("send('sleep', 30)")
    eventually(lambda: [line for line in worker.told("sleeps") if job_id in line])
    assert worker.send(f"abort({job_id!r})") is True
    assert worker.event(wire.TaskCancelled, job_id).reason == "terminated"
    assert worker.kinds(job_id)[-1] == ("Cancelled", 1)


def test_job_that_waits_is_aborted(worker: Worker) -> None:
    job_id = worker.attached("send('add', 1, 1, _defer_by=30)")
    assert worker.send(f"abort({job_id!r})") is True
    assert worker.event(wire.TaskCancelled, job_id).reason == "revoked"
    assert worker.kinds(job_id) == [DONE[0], ("Cancelled", 1)]


def test_result_that_is_not_kept_is_reported(worker: Worker) -> None:
    job_id = worker.attached("send('forgotten', 2, 3)")
    assert worker.event(wire.TaskSucceeded, job_id).result == b"5"
    assert not worker.redis.exists(f"arq:result:{job_id}")


def test_result_that_cannot_be_stored_is_shown(worker: Worker) -> None:
    job_id = worker.attached("send('odd_result')")
    assert worker.event(wire.TaskSucceeded, job_id).result == b'"<builtins.function>"'


def test_job_of_a_job_knows_its_parent(worker: Worker) -> None:
    job_id = worker.attached("send('parent')")
    child = json.loads(worker.event(wire.TaskSucceeded, job_id).result)
    worker.event(wire.TaskSucceeded, child)
    published = worker.event(wire.TaskPublished, child)
    assert (published.parent_id, published.root_id) == (job_id, job_id)
    assert worker.event(wire.TaskStarted, child).parent_id == job_id


def test_id_that_is_taken_is_not_published_again(worker: Worker) -> None:
    own = f"own-{worker.queue}"
    assert worker.attached(f"send('add', 1, 1, _job_id={own!r}, _defer_by=0.3)") == own
    assert worker.attached(f"send('add', 2, 2, _job_id={own!r})") is None
    worker.event(wire.TaskSucceeded, own)
    assert len(worker.events(wire.TaskPublished, own)) == 1


def test_id_that_is_used_again_has_its_own_stamp(worker: Worker) -> None:
    """Without a kept result arq takes the same id at once."""
    own = f"same-{worker.queue}"
    for _ in range(2):
        ended = len(worker.events(wire.TaskSucceeded, own))
        worker.attached(f"send('forgotten', 1, 1, _job_id={own!r})")
        eventually(lambda ended=ended: len(worker.events(wire.TaskSucceeded, own)) > ended)
    first, second = worker.events(wire.TaskPublished, own)
    assert first.at_us < second.at_us
    stamps = [one.published_us for one in worker.events(wire.TaskStarted, own)]
    assert stamps == [first.at_us, second.at_us]


def test_jobs_at_the_same_time_are_not_mixed_up(worker: Worker) -> None:
    sent = worker.attached("many(30)")
    eventually(lambda: all(worker.events(wire.TaskSucceeded, one) for one in sent))
    for number, job_id in enumerate(sent):
        assert worker.kinds(job_id) == DONE
        assert worker.event(wire.TaskPublished, job_id).args == (
            b'{"args":[%d,0],"kwargs":{}}' % number
        )
        assert worker.event(wire.TaskSucceeded, job_id).result == b"%d" % number


def test_huge_arguments_cost_no_record(worker: Worker) -> None:
    job_id = worker.attached("send('digest', 'x' * 5_000_000)")
    worker.event(wire.TaskSucceeded, job_id, 30)
    published = worker.event(wire.TaskPublished, job_id)
    assert len(published.args) < 4096
    assert published.sealed == b""
