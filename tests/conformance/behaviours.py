# SPDX-License-Identifier: AGPL-3.0-only
"""The behaviours that every engine shows, one function each; the docstring is its line in the
table of docs/engines.md. Each engine's file runs all of them with its own harness.

`worker` is shared by the tests of an engine, `fresh` makes one for a test that kills or limits it.
"""

import json
import os
import signal
import time
from collections.abc import Callable

import msgspec
import pytest
from benchmarks import payload
from tests.conformance.harness import Harness, call, eventually, key
from tests.support import spool

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused

Fresh = Callable[..., Harness]
replace = msgspec.structs.replace
SECRET = "hunter2-and-more"


def test_enqueued(worker: Harness) -> None:
    """Enqueued: seen in the process that sends, web processes included"""
    task_id = worker.send_attached(call("add", 2, 3))
    published = worker.event(wire.TaskPublished, task_id)
    assert (published.attempt, published.queue) == (1, worker.queue)
    assert published.name.endswith(".add")
    assert json.loads(published.args) == {"args": [2, 3], "kwargs": {}}
    assert "@" in published.origin
    eventually(lambda: worker.result(task_id) == 5)


def test_scheduled(worker: Harness) -> None:
    """Scheduled for later: when it is due, and that it does not start before"""
    name = key()
    asked_us = time.time_ns() // 1_000
    task_id = worker.send_attached(replace(call("note", name), delay=2))
    sent_us = time.time_ns() // 1_000
    published = worker.event(wire.TaskPublished, task_id)
    # Some engines keep whole seconds only.
    assert asked_us + 1_000_000 <= published.eta_us <= sent_us + 3_000_000
    started = worker.event(wire.TaskStarted, task_id)
    assert started.at_us >= published.eta_us - 1_000_000
    assert eventually(lambda: worker.told("note", name))


def test_started(worker: Harness) -> None:
    """Started: by which worker and process, from which queue"""
    name = key()
    task_id = worker.send(call("note", name))
    started = worker.event(wire.TaskStarted, task_id)
    ((_, _, pid),) = eventually(lambda: worker.told("note", name))
    assert (started.attempt, started.queue, str(started.pid)) == (1, worker.queue, pid)
    assert started.worker
    assert started.name.endswith(".note")


def test_waiting_time(worker: Harness) -> None:
    """Waiting time: from enqueueing to the start"""
    task_id = worker.send_attached(call("add", 1, 1))
    started = worker.event(wire.TaskStarted, task_id)
    published = worker.event(wire.TaskPublished, task_id)
    assert started.published_us == published.at_us
    assert started.at_us >= published.at_us


def test_succeeded(worker: Harness) -> None:
    """Succeeded: with result and run time"""
    task_id = worker.send(call("add", 2, 3))
    done = worker.event(wire.TaskSucceeded, task_id)
    assert (done.attempt, done.result) == (1, b"5")
    assert 0 < done.run_us < 10_000_000
    assert worker.result(task_id) == 5


def test_failed(worker: Harness) -> None:
    """Failed: with exception, message and traceback"""
    task_id = worker.send(call("fail", "sesame-123"))
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.attempt, failed.exception, failed.reason) == (1, "ValueError", "error")
    assert failed.message.startswith("cannot log in")
    assert 'raise ValueError(f"cannot log in' in failed.traceback
    assert "ValueError" in eventually(lambda: worker.failure(task_id))


def test_retried_by_the_engine(worker: Harness) -> None:
    """Retried by the engine: each attempt, its error, and when the next one is due"""
    name = key()
    task_id = worker.send(call("again", name))
    done = worker.event(wire.TaskSucceeded, task_id)
    retrying = worker.event(wire.TaskRetrying, task_id)
    assert (retrying.attempt, retrying.exception, done.attempt) == (1, "KeyError", 2)
    assert retrying.next_us >= retrying.at_us
    assert {("TaskStarted", 1), ("TaskStarted", 2)} <= worker.kinds(task_id)
    assert len(worker.told("again", name)) == 2


def test_unknown_task(worker: Harness) -> None:
    """A task that the worker does not know: failed"""
    task_id = worker.send(call("nowhere"))
    assert worker.event(wire.TaskFailed, task_id).name.endswith(".nowhere")


def test_exit_in_a_task(worker: Harness) -> None:
    """A task that raises SystemExit: as the engine treats it"""
    task_id = worker.send(call("leaves"))
    # Child and parent of Celery 5.7 say so at the same moment: it is one fact, told twice.
    eventually(lambda: {one.attempt for one in worker.events(worker.exits_as, task_id)} == {1})
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))


def test_timed_out(worker: Harness) -> None:
    """Timed out: by the engine's own time limit"""
    name = key()
    task_id = worker.send(replace(call("sleep", name, 15), limit=1))
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.reason == "timeout"
    assert worker.told("sleeps", name)
    assert not worker.told("slept", name)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))


def test_expired(fresh: Fresh) -> None:
    """Expired: too late to start, so cancelled"""
    worker = fresh()
    name = key()
    task_id = worker.send_attached(replace(call("note", name), expires=1))
    published = worker.event(wire.TaskPublished, task_id)
    assert 0 < published.expires_us - published.at_us <= 2_000_000
    kept = worker.send(call("note", "kept"))
    eventually(lambda: _seconds_since(published.at_us) > 1.5)
    worker.start()
    assert worker.event(wire.TaskCancelled, task_id).reason == "expired"
    worker.event(wire.TaskSucceeded, kept)
    assert not worker.told("note", name)


def test_cancelled_by_the_application(worker: Harness) -> None:
    """Cancelled while it waits, by the engine's own means"""
    name = key()
    send = worker.sending(replace(call("note", name), delay=2))
    task_id = worker.attached(f"sent = {send}\n{worker.cancelling('sent')}\nprint(sent)")
    due_us = worker.event(wire.TaskPublished, task_id).eta_us
    assert worker.event(wire.TaskCancelled, task_id).reason == "revoked"
    eventually(lambda: _seconds_since(due_us) > 1.5)
    assert not worker.told("note", name)


def test_cancelled_from_the_dashboard(fresh: Fresh) -> None:
    """Cancel: a waiting task is taken out of its queue and does not run"""
    worker = fresh()
    gone, kept = key(), key()
    first, second = worker.send(call("note", gone)), worker.send(call("note", kept))
    assert worker.waiting() == {first, second}
    commander = worker.commander("cancel")
    assert commander.execute("cancel", first, call("note").name).verified
    assert worker.waiting() == {second}
    assert [one.task_id for one in commander.events(wire.TaskCancelled)] == [first]
    worker.start()
    worker.event(wire.TaskSucceeded, second)
    assert not worker.told("note", gone)


def test_cancelled_task_never_starts(fresh: Fresh) -> None:
    """Cancel: a waiting task does not start, and is seen to be cancelled"""
    worker = fresh()
    gone, kept = key(), key()
    first, second = worker.send(call("note", gone)), worker.send(call("note", kept))
    worker.commander("cancel", folder=worker.spool).execute("cancel", first, call("note").name)
    worker.start()
    worker.event(wire.TaskSucceeded, second)
    assert worker.event(wire.TaskCancelled, first).reason == "revoked"
    assert not worker.told("note", gone)


def test_running_task_is_left_alone(worker: Harness) -> None:
    """Cancel of a running task: refused unless the host allows `terminate`"""
    name = key()
    task_id = worker.send(call("sleep", name, 2))
    eventually(lambda: worker.told("sleeps", name))
    with pytest.raises(CommandRefused, match="QUEUEDECK_ALLOW"):
        worker.commander("cancel").execute("cancel", task_id, call("sleep").name)
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.told("slept", name)


def test_terminated(worker: Harness) -> None:
    """Terminate: a running task is stopped"""
    name = key()
    task_id = worker.send(call("sleep", name, 15))
    eventually(lambda: worker.told("sleeps", name))
    worker.commander("cancel", "terminate").execute("cancel", task_id, call("sleep").name)
    assert worker.event(wire.TaskCancelled, task_id).reason == "terminated"
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    assert not worker.told("slept", name)


def test_retried_from_the_dashboard(worker: Harness) -> None:
    """Retry: the original call, its arguments untouched, under a new id"""
    name = key()
    task_id = worker.send(call("digest", name, *payload.ARGS, **payload.KWARGS))
    sealed = worker.event(wire.TaskStarted, task_id).sealed
    commander = worker.commander("retry")
    done = commander.execute("retry", task_id, call("digest").name, sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    first, second = worker.told("digest", name)
    assert first == second
    assert done.new_task_id != task_id
    (published,) = commander.events(wire.TaskPublished)
    assert (published.task_id, published.retry_of) == (done.new_task_id, task_id)
    again = commander.execute("retry", done.new_task_id, call("digest").name, published.sealed)
    worker.event(wire.TaskSucceeded, again.new_task_id)


def test_call_sealed_by_the_sender(worker: Harness) -> None:
    """Retry of a call that the sender has sealed"""
    name = key()
    task_id = worker.send_attached(call("digest", name, 1.5, [True, None]))
    published = worker.event(wire.TaskPublished, task_id)
    assert worker.event(wire.TaskStarted, task_id).sealed == b""
    commander = worker.commander("retry")
    done = commander.execute("retry", task_id, call("digest").name, published.sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    first, second = worker.told("digest", name)
    assert first == second


def test_secrets_are_redacted(worker: Harness) -> None:
    """Redacted: secrets in arguments, by key, by parameter name and by value"""
    task_id = worker.send(call("digest", key(), *payload.ARGS, **payload.KWARGS))
    by_key = worker.event(wire.TaskStarted, task_id)
    assert json.loads(by_key.args)["kwargs"]["api_token"] == {"~redacted": "token"}
    by_name = worker.event(wire.TaskStarted, worker.send(call("login", "bob", SECRET)))
    assert json.loads(by_name.args)["args"] == ["bob", {"~redacted": "password"}]
    published = worker.event(wire.TaskPublished, worker.send_attached(call("login", "bob", SECRET)))
    assert json.loads(published.args)["args"] == ["bob", {"~redacted": "password"}]
    written = spool.whole_bytes(worker.spool)
    assert payload.SECRET.encode() not in written
    assert SECRET.encode() not in written


def test_secrets_in_errors_are_redacted(worker: Harness) -> None:
    """Redacted: secrets in exception messages and tracebacks"""
    secret = f"sesame-{key()}"
    failed = worker.event(wire.TaskFailed, worker.send(call("fail", secret)))
    assert failed.message == "cannot log in with password=[redacted: secret]"
    assert failed.traceback.rstrip().endswith(failed.message)
    assert secret not in failed.traceback


def test_huge_arguments(worker: Harness) -> None:
    """Arguments of megabytes: shown in part, not sealed, run as ever"""
    task_id = worker.send(call("digest", key(), "x" * 5_000_000))
    started = worker.event(wire.TaskStarted, task_id)
    assert 0 < len(started.args) < 4096
    assert started.sealed == b""
    worker.event(wire.TaskSucceeded, task_id)


def test_progress(worker: Harness) -> None:
    """Progress that the task reports: the first and the last value, in between one a second"""
    task_id = worker.send(call("reports", key()))
    done = worker.event(wire.TaskSucceeded, task_id)
    told = worker.events(wire.TaskProgressed, task_id)
    assert (told[0].current, told[-1].current, told[-1].total) == (1, 200, 200)
    assert len(told) <= 3 + done.run_us // 1_000_000
    assert told[-1].message == "step 200, password=[redacted: secret]"
    order = [type(one) for one in worker.events(wire.TaskEvent, task_id)]
    assert order.index(wire.TaskStarted) < order.index(wire.TaskProgressed)
    assert order[-1] is wire.TaskSucceeded


def test_tags(worker: Harness) -> None:
    """Tags that the task puts on itself"""
    name = key()
    task_id = worker.send(call("reports", name))
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.event(wire.TaskTagged, task_id).tags == (f"about-{name}", "demo")


def test_log_lines(fresh: Fresh) -> None:
    """Log lines of the running task, where the host wants them: redacted, of the wanted level"""
    worker = fresh(QUEUEDECK_LOGS="info").start()
    name = key()
    task_id = worker.send(call("reports", name))
    worker.event(wire.TaskSucceeded, task_id)
    told = worker.events(wire.TaskLogged, task_id)
    lines = [line for one in told for line in one.lines if line.logger == "app.reports"]
    assert [line.text for line in lines[:2]] == [
        f"begun by {name}",
        "went on with password=[redacted: secret]",
    ]
    assert [line.level for line in lines] == [20, 30, 40]
    assert lines[2].text.startswith("stumbled\nTraceback")
    assert "KeyError: 'lost it'" in lines[2].text
    assert told[0].attempt == 1
    quiet = worker.send(call("add", 1, 2))
    worker.event(wire.TaskSucceeded, quiet)
    assert not worker.events(wire.TaskLogged, quiet)


def test_linked_to_its_parent(worker: Harness) -> None:
    """Links: a task that another one sends is tied to it"""
    parent = worker.send(call("sends_another"))
    child = json.loads(worker.event(wire.TaskSucceeded, parent).result)
    published = worker.event(wire.TaskPublished, child)
    assert (published.parent_id, published.root_id) == (parent, parent)
    assert worker.event(wire.TaskSucceeded, child).result == b"5"


def test_linked_to_what_it_waits_for(worker: Harness) -> None:
    """Links: a task that waits for another one is tied to it"""
    code = worker.sending_after(call("add", 2, 3), call("add", 4))
    first, second = worker.attached(f"print({code})").split()
    worker.event(wire.TaskSucceeded, second)
    link = worker.event(wire.TaskPublished, second)
    assert (link.parent_id, link.root_id) == (first, first)
    before = worker.event(wire.TaskStarted, first)
    assert worker.event(wire.TaskStarted, second).at_us > before.at_us


def test_source_has_no_password(worker: Harness) -> None:
    """The broker is named without its password, the same from every process"""
    task_id = worker.send_attached(call("add", 1, 1))
    worker.event(wire.TaskSucceeded, task_id)
    sources = {(one.source, one.engine, one.name) for one in worker.events(wire.SourceSeen)}
    ((source, engine, name),) = sources
    assert {one.source for one in worker.events(wire.TaskEvent, task_id)} == {source}
    assert engine == worker.engine
    assert "@" not in name
    assert worker.commander("retry").engine.info().source == source


def test_eager_mode(worker: Harness) -> None:
    """Eager mode: runs in the sending process, and is no task"""
    before = {one.task_id for one in worker.events(wire.TaskEvent)}
    assert worker.attached(f"print({worker.running_eagerly(call('add', 2, 3))})") == "5"
    marker = worker.send(call("add", 0, 1))
    worker.event(wire.TaskSucceeded, marker)
    assert {one.task_id for one in worker.events(wire.TaskEvent)} - before == {marker}


def test_killed_in_the_middle_of_a_task(worker: Harness) -> None:
    """Lost: the process that runs a task is killed"""
    name = key()
    task_id = worker.send(call("sleep", name, 15))
    ((_, _, pid),) = eventually(lambda: worker.told("sleeps", name))
    os.kill(int(pid), signal.SIGKILL)
    lost = worker.event(wire.TaskLost, task_id)
    assert lost.worker
    assert ("TaskStarted", 1) in worker.kinds(task_id)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))


def test_killed_worker_leaves_every_event(fresh: Fresh) -> None:
    """The whole worker is killed: nothing that was recorded is missing"""
    worker = fresh().start()
    done = {worker.send(call("add", n, n)) for n in range(10)}
    eventually(lambda: len(worker.events(wire.TaskSucceeded)) == 10)
    name = key()
    running = worker.send(call("sleep", name, 30))
    eventually(lambda: worker.told("sleeps", name))
    worker.kill()
    assert {one.task_id for one in worker.events(wire.TaskSucceeded)} == done
    assert {one.task_id for one in worker.events(wire.TaskStarted)} == {*done, running}


def test_lost_with_the_whole_worker(fresh: Fresh) -> None:
    """Lost: the engine finds out that a worker is gone"""
    worker = fresh().start()
    name = key()
    task_id = worker.send(call("sleep", name, 30))
    eventually(lambda: worker.told("sleeps", name))
    worker.kill()
    worker.age_the_dead()
    worker.start()
    assert worker.event(wire.TaskLost, task_id, 30).attempt == 1


def test_nothing_attaches_without_the_variable(fresh: Fresh) -> None:
    """Without QUEUEDECK_DSN nothing is attached and nothing written"""
    worker = fresh().start(attached=False)
    task_id = worker.send(call("add", 2, 3))
    eventually(lambda: worker.result(task_id) == 5)
    worker.stop()
    launcher, *own = [line for line in worker.text.splitlines() if "ueuedeck" in line]
    assert "QUEUEDECK_DSN is not set" in launcher
    assert own == []
    assert not worker.spool.exists()


def test_host_is_unchanged(fresh: Fresh) -> None:
    """Exit codes, exceptions and tracebacks are what they were without the agent"""
    seen: list[tuple[str, int]] = []
    for attached in (False, True):
        worker = fresh().start(attached=attached)
        task_id = worker.send(call("fail", "sesame"))
        trace = eventually(lambda w=worker, t=task_id: w.failure(t))
        seen.append((trace, worker.stop()))
    assert seen[0] == seen[1]
    assert "queuedeck_agent" not in seen[1][0]


def test_server_is_away(worker: Harness) -> None:
    """The server is away: tasks run, events wait on the disk"""
    eventually(lambda: "nothing listens at http://127.0.0.1:9" in worker.text)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 2, 2)))


def _seconds_since(moment_us: int) -> float:
    return time.time() - moment_us / 1_000_000
