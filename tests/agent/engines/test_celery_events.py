# SPDX-License-Identifier: AGPL-3.0-only
"""Every kind of event of a real prefork worker, read from its real spool."""

import hashlib
import json

import msgspec
import pytest
from benchmarks import payload
from tests.support import spool
from tests.support.celery_worker import BROKER, Worker

from queuedeck_agent import wire
from queuedeck_agent.engines.celery import call as celery_call

pytestmark = pytest.mark.engine


def opened(event: wire.TaskStarted | wire.TaskPublished) -> celery_call.SealedCall:
    return celery_call.unpack(spool.opened(event))


def test_succeeded_task_is_received_started_succeeded(worker: Worker) -> None:
    task_id = worker.send("add", 2, 3)
    done = worker.event(wire.TaskSucceeded, task_id)
    assert worker.kinds(task_id) == [
        ("TaskReceived", 1),
        ("TaskStarted", 1),
        ("TaskSucceeded", 1),
    ]
    assert done.result == b"5"
    assert done.run_us > 0
    assert done.worker.startswith(worker.queue)


def test_started_says_where_and_with_what(worker: Worker) -> None:
    task_id = worker.send("add", 2, 3, priority=3)
    started = worker.event(wire.TaskStarted, task_id)
    assert started.queue == worker.queue
    assert started.args == b'{"args":[2,3],"kwargs":{}}'
    assert started.pid > 0
    assert started.root_id == task_id
    assert started.published_us == 0


def test_source_is_named_without_password(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1)
    started = worker.event(wire.TaskStarted, task_id)
    source = worker.events(wire.SourceSeen)[0]
    assert source.source == started.source
    place = BROKER.removeprefix("redis://").rpartition("@")[2].replace("127.0.0.1", "localhost")
    assert source.name == f"redis://{place}"


def test_failed_task_shows_its_error_without_the_secret(worker: Worker) -> None:
    task_id = worker.send("fail", "sesame-123")
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.exception == "ValueError"
    assert failed.message == "cannot log in with password=[redacted: secret]"
    assert failed.traceback.rstrip().endswith(failed.message)
    assert failed.reason == "error"
    assert worker.kinds(task_id)[-1] == ("TaskFailed", 1)


def test_retries_count_attempts(worker: Worker) -> None:
    task_id = worker.send("again")
    worker.event(wire.TaskFailed, task_id)
    assert sorted(worker.kinds(task_id)) == sorted(
        [(kind, attempt) for attempt in (1, 2, 3) for kind in ("TaskReceived", "TaskStarted")]
        + [("TaskPublished", 2), ("TaskPublished", 3)]
        + [("TaskRetrying", 1), ("TaskRetrying", 2), ("TaskFailed", 3)]
    )
    retrying = worker.events(wire.TaskRetrying, task_id)[0]
    assert retrying.exception == "KeyError"
    assert retrying.next_us > retrying.at_us
    assert worker.events(wire.TaskPublished, task_id)[0].parent_id == ""


def test_ignored_task_is_cancelled(worker: Worker) -> None:
    assert worker.event(wire.TaskCancelled, worker.send("ignored")).reason == "ignored"


def test_rejected_task_has_failed(worker: Worker) -> None:
    assert worker.event(wire.TaskFailed, worker.send("rejected")).reason == "rejected"


def test_unknown_task_has_failed(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("nowhere"))
    assert failed.reason == "rejected"
    assert failed.name == "tests.nowhere"


def test_expired_task_is_cancelled(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1, expires=-5)
    assert worker.event(wire.TaskCancelled, task_id).reason == "expired"


def test_revoked_task_is_cancelled(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1, countdown=1.5)
    worker.event(wire.TaskReceived, task_id)
    worker.client.control.revoke(task_id)
    assert worker.event(wire.TaskCancelled, task_id).reason == "revoked"
    assert ("TaskStarted", 1) not in worker.kinds(task_id)


def test_terminated_task_is_cancelled(worker: Worker) -> None:
    task_id = worker.send("sleep", 30)
    worker.event(wire.TaskStarted, task_id)
    worker.client.control.revoke(task_id, terminate=True)
    assert worker.event(wire.TaskCancelled, task_id).reason == "terminated"
    assert ("TaskSucceeded", 1) not in worker.kinds(task_id)


def test_replaced_task_goes_on_under_its_id(worker: Worker) -> None:
    task_id = worker.send("replaced")
    assert worker.event(wire.TaskSucceeded, task_id).result == b"5"
    assert worker.events(wire.TaskCancelled, task_id) == []


def test_result_that_is_no_json_is_shown(worker: Worker) -> None:
    assert worker.event(wire.TaskSucceeded, worker.send("odd_result")).result == b'"nan"'


def test_internal_tasks_are_hidden(worker: Worker) -> None:
    worker.client.send_task("celery.accumulate", (1, 2), queue=worker.queue)
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    names = {getattr(event, "name", "") for event in spool.events(worker.spool)}
    assert not any(name.startswith("celery.") for name in names)


def test_secret_is_sealed_and_nowhere_else(worker: Worker) -> None:
    task_id = worker.send("digest", *payload.ARGS, kwargs=payload.KWARGS)
    started = worker.event(wire.TaskStarted, task_id)
    assert json.loads(started.args)["kwargs"]["api_token"] == {"~redacted": "token"}
    args, kwargs, embed = msgspec.json.decode(opened(started).body)
    assert (args, kwargs) == (payload.ARGS, payload.KWARGS)
    assert embed == {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert payload.SECRET.encode() not in spool.whole_bytes(worker.spool)
    assert hashlib.sha256(repr((tuple(args), kwargs)).encode()).hexdigest() in str(
        worker.told("digest")
    )


def test_parameter_with_a_secret_name_is_hidden(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("login", "bob", "hunter2"))
    assert started.args == b'{"args":["bob",{"~redacted":"password"}],"kwargs":{}}'


def test_text_of_the_caller_is_shown_instead_of_arguments(worker: Worker) -> None:
    task_id = worker.send("digest", "private", argsrepr="(<hidden>)")
    assert worker.event(wire.TaskStarted, task_id).args == (
        b'{"args":{"~repr":"(<hidden>)"},"kwargs":{}}'
    )


@pytest.mark.parametrize(
    "args",
    [(["it's", "x" * 3000],), ([[[[[[1]]]]]],), (["\N{SNOWMAN}", 'a"b'], 1.5), ("x" * 1500,)],
    ids=["cut", "deep", "odd text", "long"],
)
def test_text_that_celery_made_hides_nothing(worker: Worker, args: tuple[object, ...]) -> None:
    started = worker.event(wire.TaskStarted, worker.send("digest", *args))
    assert b"~repr" not in started.args


def test_huge_arguments_cost_no_record(worker: Worker) -> None:
    task_id = worker.send("digest", "x" * 20_000_000)
    started = worker.event(wire.TaskStarted, task_id, 30)
    assert len(started.args) < 4096
    assert started.sealed == b""
    worker.event(wire.TaskSucceeded, task_id)


def test_arguments_that_only_pickle_can_carry(worker: Worker) -> None:
    code = "from tests.support import celery_tasks as t;print(t.awkward.delay(t.Awkward()).id)"
    task_id = worker.attached(code)
    published = worker.event(wire.TaskPublished, task_id)
    assert b"~repr" in published.args
    assert opened(published).content_type == "application/x-python-serialize"
    assert worker.event(wire.TaskSucceeded, task_id).result == b'"Awkward"'


def test_attached_producer_captures_and_the_worker_does_not(worker: Worker) -> None:
    code = (
        "from tests.support import celery_tasks as t;"
        "print(t.login.apply_async(('bob', 'hunter2'), priority=4).id)"
    )
    task_id = worker.attached(code)
    published = worker.event(wire.TaskPublished, task_id)
    started = worker.event(wire.TaskStarted, task_id)
    assert json.loads(published.args)["args"] == ["bob", {"~redacted": "password"}]
    assert msgspec.json.decode(opened(published).body)[0] == ["bob", "hunter2"]
    assert published.priority == 4
    assert published.queue == worker.queue
    assert "@" in published.origin
    assert (started.args, started.sealed) == (b"", b"")
    assert started.published_us == published.at_us


def test_chain_group_and_chord_are_tied(worker: Worker) -> None:
    code = (
        "from celery import chain, chord; from tests.support import celery_tasks as t;"
        "last = chain(t.add.s(1, 1), t.add.s(3)).delay();"
        "body = chord([t.add.s(1, 1), t.add.s(2, 2)])(t.total.s());"
        "print(last.parent.id, last.id, body.id, *(one.id for one in body.parent))"
    )
    first, second, body, *parts = worker.attached(code).split()
    worker.event(wire.TaskSucceeded, body)
    link = worker.event(wire.TaskPublished, second)
    assert (link.parent_id, link.root_id) == (first, first)
    header = [worker.event(wire.TaskPublished, part) for part in parts]
    assert {one.chord_id for one in header} == {body}
    assert len({one.group_id for one in header} - {""}) == 1
    assert worker.event(wire.TaskSucceeded, second).result == b"5"


def test_eta_and_expiry_are_reported(worker: Worker) -> None:
    code = (
        "from tests.support import celery_tasks as t;"
        "print(t.add.apply_async((1, 1), countdown=1, expires=60).id)"
    )
    task_id = worker.attached(code)
    published = worker.event(wire.TaskPublished, task_id)
    assert 0 < published.eta_us - published.at_us < 2_000_000
    assert published.expires_us > published.eta_us
    assert worker.event(wire.TaskReceived, task_id).eta_us == published.eta_us


def test_one_failing_publish_reports_nothing(worker: Worker) -> None:
    code = (
        "import os; os.environ['TEST_BROKER'] = 'redis://127.0.0.1:1/0'\n"
        "from tests.support import celery_tasks as t\n"
        "try: t.add.apply_async((1, 1), retry=False, task_id='never-sent')\n"
        "except Exception: print('refused')"
    )
    assert worker.attached(code) == "refused"
    assert worker.kinds("never-sent") == []
