# SPDX-License-Identifier: AGPL-3.0-only
"""Every kind of event of a real Dramatiq worker, read from its real spool."""

import json
from collections.abc import Iterator

import pytest
from dramatiq.brokers.stub import StubBroker
from tests.support import spool
from tests.support.dramatiq_worker import Worker

from queuedeck_agent import wire
from queuedeck_agent.dsn import SealKey
from queuedeck_agent.engines.dramatiq import boot as dramatiq_boot
from queuedeck_agent.engines.dramatiq import call as dramatiq_call
from queuedeck_agent.seal import Seals

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("dramatiq")).start()
    yield worker
    worker.close()


def test_succeeded_message_is_started_and_succeeded(worker: Worker) -> None:
    task_id = worker.send("add", 2, 3)
    done = worker.event(wire.TaskSucceeded, task_id)
    assert worker.kinds(task_id) == [("TaskStarted", 1), ("TaskSucceeded", 1)]
    assert (done.result, done.name) == (b"5", "tests.add")
    assert done.run_us > 0


def test_started_says_where_and_with_what(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("add", 2, 3))
    assert started.queue == worker.queue
    assert started.args == b'{"args":[2,3],"kwargs":{}}'
    assert started.worker.endswith(f":{started.pid}")
    assert (started.root_id, started.parent_id) == (started.task_id, "")
    assert started.published_us == 0


def test_sealed_call_is_the_original(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("login", "me", "sesame", time_limit=9000))
    seals = Seals((SealKey(spool.SEAL_ID, spool.SEAL_KEY),))
    call = seals.open("shop", started.source, started.name, started.task_id, started.sealed)
    fields = json.loads(dramatiq_call.unpack(call).body)
    assert fields["args"] == ["me", "sesame"]
    assert fields["options"] == {"time_limit": 9000}
    assert b"sesame" not in started.args


def test_sender_with_agent_captures_once(worker: Worker) -> None:
    task_id = worker.attached("print(add.send(3, 4).message_id)")
    worker.event(wire.TaskSucceeded, task_id)
    published = worker.event(wire.TaskPublished, task_id)
    started = worker.event(wire.TaskStarted, task_id)
    assert published.args == b'{"args":[3,4],"kwargs":{}}'
    assert published.sealed
    assert (started.args, started.sealed) == (b"", b"")
    assert started.published_us == published.at_us
    assert published.origin.partition("@")[0] != str(started.pid)


def test_source_is_named_by_place_and_namespace(worker: Worker) -> None:
    started = worker.event(wire.TaskStarted, worker.send("add", 1, 1))
    source = worker.events(wire.SourceSeen)[0]
    assert (source.source, source.engine) == (started.source, "dramatiq")
    assert source.name.endswith(f"({worker.queue})")


def test_failed_message_shows_its_error_without_the_secret(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("fail", "sesame-123"))
    assert (failed.exception, failed.reason) == ("ValueError", "error")
    assert failed.message == "cannot log in with password=[redacted: secret]"
    assert failed.traceback.rstrip().endswith(failed.message)


def test_expected_exception_has_failed_without_retry(worker: Worker) -> None:
    task_id = worker.send("expected")
    assert worker.event(wire.TaskFailed, task_id).exception == "LookupError"
    assert worker.kinds(task_id) == [("TaskStarted", 1), ("TaskFailed", 1)]


def test_retries_count_attempts(worker: Worker) -> None:
    task_id = worker.send("again")
    worker.event(wire.TaskFailed, task_id)
    assert sorted(worker.kinds(task_id)) == sorted(
        [("TaskStarted", attempt) for attempt in (1, 2, 3)]
        + [("TaskReceived", 2), ("TaskReceived", 3), ("TaskPublished", 2), ("TaskPublished", 3)]
        + [("TaskRetrying", 1), ("TaskRetrying", 2), ("TaskFailed", 3)]
    )


def test_retrying_says_why_and_when(worker: Worker) -> None:
    task_id = worker.send("again")
    worker.event(wire.TaskFailed, task_id)
    retrying = worker.events(wire.TaskRetrying, task_id)[0]
    published = worker.events(wire.TaskPublished, task_id)[0]
    assert (retrying.exception, retrying.message) == ("KeyError", "'not yet'")
    assert retrying.next_us == published.eta_us > 0
    starts = worker.events(wire.TaskStarted, task_id)
    assert [bool(start.sealed) for start in starts] == [True, False, False]


def test_delayed_message_is_published_once(worker: Worker) -> None:
    code = "print(add.send_with_options(args=(1, 1), delay=200).message_id)"
    task_id = worker.attached(code)
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.kinds(task_id) == [
        ("TaskPublished", 1),
        ("TaskReceived", 1),
        ("TaskStarted", 1),
        ("TaskSucceeded", 1),
    ]
    published = worker.event(wire.TaskPublished, task_id)
    assert published.eta_us == worker.event(wire.TaskReceived, task_id).eta_us > 0
    assert published.queue == worker.queue


def test_delayed_message_of_a_sender_without_agent(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1, delay=50)
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.events(wire.TaskPublished, task_id) == []
    assert worker.event(wire.TaskReceived, task_id).eta_us > 0


def test_time_limit_reaches_the_actor_and_is_told(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("slow"))
    assert failed.reason == "timeout"
    assert failed.exception.endswith("TimeLimitExceeded")


def test_unknown_actor_has_failed(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("nowhere"))
    assert (failed.reason, failed.name) == ("rejected", "tests.nowhere")


def test_message_over_its_age_is_expired_and_never_started(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1, delay=50, max_age=1)
    assert worker.event(wire.TaskCancelled, task_id).reason == "expired"
    assert worker.kinds(task_id) == [("TaskReceived", 1), ("TaskCancelled", 1)]


def test_message_that_a_middleware_skips_is_ignored(worker: Worker) -> None:
    task_id = worker.send("add", 1, 1, skip=True)
    assert worker.event(wire.TaskCancelled, task_id).reason == "ignored"
    assert worker.kinds(task_id) == [("TaskCancelled", 1)]


@pytest.mark.parametrize("name", ["outer", "outer_async"])
def test_message_sent_by_an_actor_knows_its_parent(worker: Worker, name: str) -> None:
    parent = worker.send(name)
    worker.event(wire.TaskSucceeded, parent)
    children = [one for one in worker.events(wire.TaskPublished) if one.parent_id == parent]
    assert [(one.name, one.root_id) for one in children] == [("tests.add", parent)]


def test_async_actor_that_fails(worker: Worker) -> None:
    failed = worker.event(wire.TaskFailed, worker.send("fail_async"))
    assert (failed.exception, failed.message) == ("RuntimeError", "async")


def test_steps_of_a_pipeline_are_tied_to_the_first(worker: Worker) -> None:
    code = (
        "p = (add.message(1, 1) | add.message(3)).run(); print(*[m.message_id for m in p.messages])"
    )
    first, second = worker.attached(code).split()
    assert worker.event(wire.TaskSucceeded, second).result == b"5"
    step = worker.event(wire.TaskPublished, second)
    assert (step.parent_id, step.root_id) == (first, first)
    assert step.args == b'{"args":[3,2],"kwargs":{}}'


def test_messages_of_a_group_share_an_id(worker: Worker) -> None:
    code = (
        "from dramatiq import group; m = [add.message(1, n) for n in (1, 2)]; group(m).run();"
        "print(*[one.message_id for one in m], add.send(9, 9).message_id)"
    )
    first, second, other = worker.attached(code).split()
    groups = [worker.event(wire.TaskPublished, one).group_id for one in (first, second, other)]
    assert groups[0] == groups[1] != ""
    assert groups[2] == ""


def test_message_that_the_broker_refused_is_not_published(worker: Worker) -> None:
    code = (
        "import redis\n"
        "add.broker.client = redis.Redis(port=1)\n"
        "add.broker.scripts = {n: add.broker.client.register_script(b'') for n in ('dispatch',)}\n"
        "type(add.broker)._max_unpack_size_val = 1\n"
        "try: add.send(77, 77)\n"
        "except redis.ConnectionError: print('refused')"
    )
    assert worker.attached(code) == "refused"
    args = [event.args for event in worker.events(wire.TaskPublished)]
    assert b'{"args":[77,77],"kwargs":{}}' not in args


def test_stub_broker_is_left_alone() -> None:
    broker = StubBroker()
    before = list(broker.middleware)
    assert dramatiq_boot.follow(broker, lambda: pytest.fail("started")) is None
    assert broker.middleware == before
