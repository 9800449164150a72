# SPDX-License-Identifier: AGPL-3.0-only
"""The verbs of `wire.VERBS` on every engine; the docstring is a line of the table in
docs/engines.md, and the adapter's own word on the verb is what the table says about it.

Where the adapter says "none" the command must be refused with its reason; else it is carried out,
and the broker is asked whether it took effect. `linked` is a running worker that gets its commands
from a server; `fresh`, not started, has messages that wait, and a commander in this process.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks import payload
from tests.conformance.harness import (
    BROKER_NAME,
    Commander,
    Harness,
    call,
    eventually,
    key,
    replace,
)

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.errors import CommandRefused

Able = Callable[[Harness | Commander, str], wire.Capability]
Fresh = Callable[..., Harness]
Details = wire.CommandDetails

MUST = ("retry", "edit", "submit", "cancel", "purge")
"""An engine on which one of these is not possible is not supported."""
SECRET = "hunter2-and-more"
LATER_S = 90
A_WHILE_S = 1.5
"""So long a task that could be taken does not wait."""


def can(able: Able, where: Harness, verb: str, *about: str, **more: Any) -> bool:
    """Whether the worker's adapter can do it. If not it must say so, with the reason."""
    return _can(able(where, verb), where.order, verb, *about, **more)


def commander_can(able: Able, where: Commander, verb: str, *about: str, **more: Any) -> bool:
    """The same, of an adapter beside the worker."""
    return _can(able(where, verb), where.execute, verb, *about, **more)


def _can(
    said: wire.Capability, order: Callable[..., Any], verb: str, *about: str, **more: Any
) -> bool:
    if said.how != "none":
        return True
    assert verb not in MUST
    with pytest.raises(CommandRefused) as refusal:
        order(verb, *about, **more)
    assert refusal.value.code == "unsupported"
    assert said.reason in refusal.value.message
    return False


def arguments(*args: Any, **kwargs: Any) -> bytes:
    """As an operator enters them."""
    return json.dumps({"args": args, "kwargs": kwargs}).encode()


def found(done: wire.CommandDone) -> Any:
    return json.loads(done.found)


def test_every_verb_has_an_answer(linked: Harness) -> None:
    """Every verb: native, emulated or impossible, with the reason"""
    said = linked.said[1].capabilities
    assert sorted(one.verb for one in said) == sorted(wire.VERBS)
    assert {one.how for one in said} <= {"native", "emulated", "none"}
    assert [one.verb for one in said if one.how != "native" and not one.reason] == []
    assert [one.verb for one in said if one.how == "none" and one.verb in MUST] == []


# --- Of one task ---


def test_retry(linked: Harness, able: Able) -> None:
    """Verb `retry`: the original call, as the server asks the worker's own agent for it"""
    assert can(able, linked, "retry")
    name = key()
    task_id = linked.send(call("digest", name, *payload.ARGS, **payload.KWARGS))
    sealed = linked.event(wire.TaskStarted, task_id).sealed
    done = linked.order("retry", task_id, call("digest").name, sealed, queue=linked.queue)
    linked.event(wire.TaskSucceeded, done.new_task_id)
    first, second = linked.told("digest", name)
    assert first == second
    assert linked.event(wire.TaskPublished, done.new_task_id).retry_of == task_id


def test_retry_at_a_later_time(linked: Harness, able: Able) -> None:
    """Verb `retry`: not before a time; or refused, with the reason, and nothing is sent"""
    assert can(able, linked, "retry")
    name = key()
    task_id = linked.send(call("digest", name, 1))
    about = (task_id, call("digest").name, linked.event(wire.TaskStarted, task_id).sealed)
    later = Details(delay_s=LATER_S)
    try:
        done = linked.order("retry", *about, queue=linked.queue, details=later)
    except CommandRefused as refusal:
        assert (refusal.code, "for later" in refusal.message) == ("unsupported", True)
    else:
        published = linked.event(wire.TaskPublished, done.new_task_id)
        wait_s = (published.eta_us - published.at_us) / 1_000_000
        assert LATER_S - 5 < wait_s < LATER_S + 5
        assert published.retry_of == task_id
        linked.order("cancel", done.new_task_id, call("digest").name, queue=linked.queue)
    assert stays(lambda: len(linked.told("digest", name)) == 1, A_WHILE_S)


def test_edit(linked: Harness, able: Able) -> None:
    """Verb `edit`: what is left as it was shown, secrets too, is what it was"""
    assert can(able, linked, "edit")
    name = key()
    task_id = linked.send(call("digest", name, *payload.ARGS, **payload.KWARGS))
    started = linked.event(wire.TaskStarted, task_id)
    assert payload.SECRET.encode() not in started.args
    about = (task_id, call("digest").name, started.sealed)
    done = linked.order("edit", *about, queue=linked.queue, details=Details(args=started.args))
    linked.event(wire.TaskSucceeded, done.new_task_id)
    first, second = linked.told("digest", name)
    assert first == second
    published = linked.event(wire.TaskPublished, done.new_task_id)
    assert (published.retry_of, published.args) == (task_id, started.args)


def test_edit_of_one_argument(linked: Harness, able: Able) -> None:
    """Verb `edit`: one argument changed, all others as they were"""
    assert can(able, linked, "edit")
    name = key()
    task_id = linked.send(call("digest", name, *payload.ARGS, **payload.KWARGS))
    started = linked.event(wire.TaskStarted, task_id)
    shown = json.loads(started.args)
    shown["kwargs"]["notify"] = False
    given = Details(args=json.dumps(shown).encode())
    about = (task_id, call("digest").name, started.sealed)
    done = linked.order("edit", *about, queue=linked.queue, details=given)
    linked.event(wire.TaskSucceeded, done.new_task_id)
    changed = {**payload.KWARGS, "notify": False}
    like = linked.send(call("digest", name, *payload.ARGS, **changed))
    linked.event(wire.TaskSucceeded, like)
    original, edited, expected = linked.told("digest", name)
    assert edited == expected != original


def test_edit_without_the_original(linked: Harness, able: Able) -> None:
    """Verb `edit`: without the sealed call only whole values are taken"""
    assert can(able, linked, "edit")
    task_id = linked.send(call("login", "bob", SECRET))
    started = linked.event(wire.TaskStarted, task_id)
    about = (task_id, call("login").name)
    shown, whole = Details(args=started.args), Details(args=arguments("ann", "sesame"))
    with pytest.raises(CommandRefused, match="Write the whole value") as refusal:
        linked.order("edit", *about, queue=linked.queue, details=shown)
    assert refusal.value.code == "invalid"
    done = linked.order("edit", *about, queue=linked.queue, details=whole)
    assert linked.event(wire.TaskSucceeded, done.new_task_id).result == b'"ann"'


def test_submit(linked: Harness, able: Able) -> None:
    """Verb `submit`: a task by its name, with arguments that are entered"""
    assert can(able, linked, "submit")
    name = key()
    given = arguments(name, 1.5, [True, None], token="t-1")
    done = linked.order("submit", "", call("digest").name, details=_in(linked, given))
    linked.event(wire.TaskSucceeded, done.new_task_id)
    like = linked.send(call("digest", name, 1.5, [True, None], token="t-1"))
    linked.event(wire.TaskSucceeded, like)
    submitted, expected = linked.told("digest", name)
    assert submitted == expected
    published = linked.event(wire.TaskPublished, done.new_task_id)
    assert (published.name, published.queue) == (call("digest").name, linked.queue)
    assert json.loads(published.args)["kwargs"]["token"] == {"~redacted": "token"}


def test_submit_of_an_unknown_task(linked: Harness, able: Able) -> None:
    """Verb `submit`: a name that the application does not know is refused"""
    assert can(able, linked, "submit")
    if not linked.knows_its_tasks:
        return
    before = linked.queue_length()
    with pytest.raises(CommandRefused, match="nowhere") as refusal:
        linked.order("submit", "", call("nowhere").name, details=_in(linked, arguments()))
    assert refusal.value.code == "invalid"
    assert linked.queue_length() == before


def test_cancel(fresh: Fresh, able: Able) -> None:
    """Verb `cancel`: a waiting task does not run"""
    worker = fresh()
    gone, kept = key(), key()
    first, second = worker.send(call("note", gone)), worker.send(call("note", kept))
    commander = worker.commander("cancel", folder=worker.spool)
    assert commander_can(able, commander, "cancel")
    done = commander.execute("cancel", first, call("note").name, queue=worker.queue)
    if done.verified:
        assert worker.waiting() == {second}
        assert worker.event(wire.TaskCancelled, first).reason == "revoked"
        return
    worker.start()
    worker.event(wire.TaskSucceeded, second)
    assert worker.event(wire.TaskCancelled, first).reason == "revoked"
    assert not worker.told("note", gone)


def test_terminate(linked: Harness, able: Able) -> None:
    """Verb `terminate`: a running task is stopped"""
    name = key()
    task_id = linked.send(call("sleep", name, 4))
    eventually(lambda: linked.told("sleeps", name))
    if not can(able, linked, "terminate", task_id, call("sleep").name):
        return
    linked.order("terminate", task_id, call("sleep").name)
    assert linked.event(wire.TaskCancelled, task_id).reason == "terminated"
    linked.event(wire.TaskSucceeded, linked.send(call("add", 1, 1)))
    assert not linked.told("slept", name)


def test_priority(fresh: Fresh, able: Able) -> None:
    """Verb `priority`: of a waiting task, which is neither lost nor there twice"""
    worker = fresh()
    both = [worker.send(call("note", key())) for _ in range(2)]
    commander = worker.commander("priority")
    name, given = call("note").name, Details(priority=worker.urgent)
    place: dict[str, Any] = {"queue": worker.queue, "details": given}
    if not commander_can(able, commander, "priority", both[1], name, **place):
        return
    assert commander.execute("priority", both[1], name, **place).verified
    assert worker.priority_of(both[1]) == worker.urgent
    assert (worker.waiting(), worker.queue_length()) == (set(both), 2)


def test_move(fresh: Fresh, able: Able) -> None:
    """Verb `move`: a waiting task to another queue, which is neither lost nor there twice"""
    worker = fresh()
    name = key()
    moved, kept = worker.send(call("note", name)), worker.send(call("note", key()))
    commander = worker.commander("move")
    place: dict[str, Any] = {
        "queue": worker.queue,
        "details": Details(queue=worker.other_queue or "elsewhere"),
    }
    if not commander_can(able, commander, "move", moved, call("note").name, **place):
        return
    assert worker.other_queue, "the harness must serve a second queue"
    assert commander.execute("move", moved, call("note").name, **place).verified
    assert worker.waiting() == {kept}
    assert worker.queue_length(worker.other_queue) == 1
    worker.start()
    assert worker.event(wire.TaskStarted, moved).queue == worker.other_queue
    worker.event(wire.TaskSucceeded, kept)
    worker.event(wire.TaskSucceeded, moved)
    assert len(worker.told("note", name)) == 1


def test_requeue(linked: Harness, able: Able) -> None:
    """Verb `requeue`: a dead letter goes back into its queue and runs again"""
    if not can(able, linked, "requeue", queue=linked.queue, details=Details(ids=("x",))):
        return
    task_id = linked.make_dead()
    name = linked.event(wire.TaskFailed, task_id).name
    eventually(lambda: task_id in linked.dead())
    starts = len(linked.events(wire.TaskStarted, task_id))
    done = linked.order("requeue", "", "", queue=linked.queue, details=Details(ids=(task_id,)))
    assert done.affected == 1
    again = done.new_task_id or task_id
    before = starts if again == task_id else 0
    eventually(lambda: len(linked.events(wire.TaskStarted, again)) > before)
    eventually(lambda: again in linked.dead())
    assert again == task_id or task_id not in linked.dead()
    done = linked.order("requeue", again, name, queue=linked.queue)
    assert done.affected == 1


def test_requeue_of_what_is_not_there(linked: Harness, able: Able) -> None:
    """Verb `requeue`: a dead letter that is gone is said to be gone"""
    given = Details(ids=("no-such-id",))
    if not can(able, linked, "requeue", queue=linked.queue, details=given):
        return
    eventually(lambda: linked.queue_length() == 0)  # what a test before this one has requeued
    with pytest.raises(CommandRefused):
        linked.order("requeue", queue=linked.queue, details=given)
    assert linked.queue_length() == 0


def test_reconcile_of_a_waiting_task(fresh: Fresh, able: Able) -> None:
    """Verb `reconcile`: a waiting task is found in its queue, and stays there"""
    worker = fresh()
    task_id = worker.send(call("note", key()))
    commander = worker.commander("observe")
    about = (task_id, call("note").name)
    if not commander_can(able, commander, "reconcile", *about, queue=worker.queue):
        return
    done = commander.execute("reconcile", *about, queue=worker.queue)
    assert found(done)["state"] in _may_be(able(commander, "reconcile"), "queued")
    assert worker.queue_length() == 1
    assert commander.events(wire.TaskEvent) == []


def test_reconcile_of_a_running_task(linked: Harness, able: Able) -> None:
    """Verb `reconcile`: a running task is found where it runs"""
    name = key()
    task_id = linked.send(call("sleep", name, 3))
    eventually(lambda: linked.told("sleeps", name))
    about = (task_id, call("sleep").name)
    if not can(able, linked, "reconcile", *about, queue=linked.queue):
        return
    done = linked.order("reconcile", *about, queue=linked.queue)
    assert found(done)["state"] == "running"
    assert found(done)["where"]
    linked.event(wire.TaskSucceeded, task_id)
    assert linked.events(wire.TaskLost, task_id) == []


def test_reconcile_of_an_unknown_task(linked: Harness, able: Able) -> None:
    """Verb `reconcile`: a task that the engine does not know is gone, and nothing is made up"""
    task_id = f"unknown-{key()}"
    about = (task_id, call("note").name)
    if not can(able, linked, "reconcile", *about, queue=linked.queue):
        return
    done = linked.order("reconcile", *about, queue=linked.queue)
    assert found(done)["state"] == "gone"
    assert linked.events(wire.TaskEvent, task_id) == []


# --- Of a queue ---


def test_purge(fresh: Fresh, able: Able) -> None:
    """Verb `purge`: every waiting message, counted, each task told to be cancelled"""
    worker = fresh()
    sent = {worker.send(call("note", key())) for _ in range(5)}
    assert worker.queue_length() == 5
    commander = worker.commander("purge")
    assert commander_can(able, commander, "purge")
    done = commander.execute("purge", queue=worker.queue)
    assert (done.affected, done.verified, worker.queue_length()) == (5, True, 0)
    told = commander.events(wire.TaskCancelled)
    if BROKER_NAME == "rabbitmq":
        assert not told or {one.task_id for one in told} == sent
        return
    assert sorted(one.task_id for one in told) == sorted(sent)
    assert {one.reason for one in told} == {"purged"}
    assert {one.name for one in told} == {call("note").name}
    again = commander.execute("purge", queue=worker.queue)
    assert (again.affected, again.verified) == (0, True)


def test_purge_leaves_a_running_task_alone(linked: Harness, able: Able) -> None:
    """Verb `purge`: a running task goes on to its end"""
    assert can(able, linked, "purge")
    if linked.able("pause").how == "none":  # nothing would wait
        return
    name = key()
    running = linked.send(call("sleep", name, 3))
    eventually(lambda: linked.told("sleeps", name))
    linked.order("pause", queue=linked.queue)
    try:
        waiting = [linked.send(call("note", name)) for _ in range(3)]
        assert linked.queue_length() == 3
        done = linked.order("purge", queue=linked.queue)
        assert (done.affected, linked.queue_length()) == (3, 0)
    finally:
        linked.order("resume", queue=linked.queue)
    linked.event(wire.TaskSucceeded, running)
    linked.event(wire.TaskSucceeded, linked.send(call("add", 1, 1)))
    assert linked.told("slept", name)
    assert not linked.told("note", name)
    assert [one for one in waiting if linked.events(wire.TaskStarted, one)] == []


def test_pause(linked: Harness, able: Able) -> None:
    """Verb `pause`: nothing is taken from the queue, over a restart too, until `resume`"""
    if not can(able, linked, "pause", queue=linked.queue):
        return
    name, running = key(), key()
    linked.send(call("sleep", running, 1))
    eventually(lambda: linked.told("sleeps", running))
    done = linked.order("pause", queue=linked.queue, details=Details(reason="maintenance"))
    assert linked.queue in done.effect
    try:
        task_id = linked.send(call("note", name))
        assert stays(lambda: linked.queue_length() == 1, A_WHILE_S)
        assert linked.told("slept", running)
        linked.stop()
        # Celery's worker puts back what it held for later: of an earlier test, and cancelled.
        wait = linked.queue_length()
        linked.start()
        assert stays(lambda: linked.queue_length() == wait, A_WHILE_S)
        assert not linked.told("note", name)
    finally:
        linked.order("resume", queue=linked.queue)
    linked.event(wire.TaskSucceeded, task_id)
    assert len(linked.told("note", name)) == 1


def test_pause_of_one_queue(linked: Harness, able: Able) -> None:
    """Verb `pause`: other queues of the worker are served as ever"""
    if not can(able, linked, "pause", queue=linked.queue) or not linked.other_queue:
        return
    linked.order("pause", queue=linked.queue)
    try:
        linked.event(wire.TaskSucceeded, linked.send_to(linked.other_queue, call("add", 1, 1)))
        waits = linked.send(call("add", 1, 2))
        assert stays(lambda: linked.queue_length() == 1, 0.5)
    finally:
        linked.order("resume", queue=linked.queue)
    linked.event(wire.TaskSucceeded, waits)


def test_pause_ends_by_itself(linked: Harness, able: Able) -> None:
    """Verb `pause`: ends by itself when it was asked for some seconds"""
    if not can(able, linked, "pause", queue=linked.queue):
        return
    name = key()
    began = time.time()
    linked.order("pause", queue=linked.queue, details=Details(for_s=2))
    task_id = linked.send(call("note", name))
    started = linked.event(wire.TaskStarted, task_id)
    assert 1.9 < started.at_us / 1_000_000 - began < 8


def test_resume(linked: Harness, able: Able) -> None:
    """Verb `resume`: of a queue that is not paused changes nothing, and says so"""
    if not can(able, linked, "resume", queue=linked.queue):
        return
    assert "not paused" in linked.order("resume", queue=linked.queue).effect
    linked.event(wire.TaskSucceeded, linked.send(call("add", 1, 1)))


def test_peek(fresh: Fresh, able: Able) -> None:
    """Verb `peek`: the first messages, oldest first, redacted, all left in their places"""
    worker = fresh()
    commander = worker.commander("observe")
    first = worker.send(call("login", "bob", SECRET))
    sent = [first, *(worker.send(call("note", key())) for _ in range(3))]
    if not commander_can(able, commander, "peek", queue=worker.queue):
        return
    done = commander.execute("peek", queue=worker.queue)
    assert [one["id"] for one in found(done)] == sent
    assert found(done)[0]["name"] == call("login").name
    assert found(done)[0]["args"]["args"] == ["bob", {"~redacted": "password"}]
    assert SECRET.encode() not in done.found
    two = commander.execute("peek", queue=worker.queue, details=Details(amount=2))
    assert [one["id"] for one in found(two)] == sent[:2]
    assert (worker.queue_length(), worker.waiting()) == (4, set(sent))
    assert commander.events(wire.TaskEvent) == []


def test_dead(linked: Harness, able: Able) -> None:
    """Verb `dead`: the tasks that were given up, newest first, left in their places"""
    if not can(able, linked, "dead", queue=linked.queue):
        return
    older, newer = linked.make_dead(), ""
    eventually(lambda: older in linked.dead())
    newer = linked.make_dead()
    eventually(lambda: newer in linked.dead())
    before = linked.dead()
    seen = [one["id"] for one in found(linked.order("dead", queue=linked.queue))]
    assert seen[:2] == [newer, older]
    assert linked.dead() == before


# --- Of a worker ---


def test_pool(linked: Harness, able: Able) -> None:
    """Verb `pool`: the worker runs more tasks at once, or fewer"""
    worker = linked.said[1].worker
    more = Details(worker=worker, amount=1)
    if not can(able, linked, "pool", details=more):
        return
    before = linked.slots()
    linked.order("pool", details=more)
    assert eventually(lambda: linked.slots() == before + 1)
    linked.order("pool", details=replace(more, amount=-1))
    assert eventually(lambda: linked.slots() == before)
    linked.event(wire.TaskSucceeded, linked.send(call("add", 1, 1)))


def test_rate(linked: Harness, able: Able) -> None:
    """Verb `rate`: tasks of a name start no more often than that, until the limit is taken away"""
    given = Details(worker=linked.said[1].worker, rate="1/m")
    about = ("", call("note").name)
    if not can(able, linked, "rate", *about, details=given):
        return
    name = key()
    linked.order("rate", *about, details=given)
    sent = [linked.send(call("note", name)) for _ in range(3)]
    eventually(lambda: linked.told("note", name))
    assert stays(lambda: len(linked.told("note", name)) == 1, A_WHILE_S)
    linked.order("rate", *about, details=replace(given, rate=""))
    for one in sent:
        linked.event(wire.TaskSucceeded, one)


def test_drain(linked: Harness, able: Able) -> None:
    """Verb `drain`: the worker ends what it runs and takes nothing more, until `undrain`"""
    given = Details(worker=linked.said[1].worker)
    name, running = key(), key()
    if not can(able, linked, "drain", details=given):
        return
    busy = linked.send(call("sleep", running, 1))
    eventually(lambda: linked.told("sleeps", running))
    linked.order("drain", details=given)
    try:
        task_id = linked.send(call("note", name))
        assert stays(lambda: linked.queue_length() == 1, A_WHILE_S)
        linked.event(wire.TaskSucceeded, busy)
        assert not linked.told("note", name)
    finally:
        linked.order("undrain", details=given)
    linked.event(wire.TaskSucceeded, task_id)


def test_undrain(linked: Harness, able: Able) -> None:
    """Verb `undrain`: a queue that is paused stays so"""
    given = Details(worker=linked.said[1].worker)
    if not can(able, linked, "undrain", details=given) or linked.able("pause").how == "none":
        return
    linked.order("pause", queue=linked.queue)
    linked.order("drain", details=given)
    linked.order("undrain", details=given)
    try:
        task_id = linked.send(call("add", 1, 1))
        eventually(lambda: linked.queue_length() == 1)  # a worker that waited there gave it back
        assert stays(lambda: linked.queue_length() == 1, 0.5)
    finally:
        linked.order("resume", queue=linked.queue)
    linked.event(wire.TaskSucceeded, task_id)


def test_command_for_another_worker(linked: Harness) -> None:
    """Commands for a worker that is not there are not carried out by another one"""
    given = Details(worker="nobody@nowhere", amount=1, rate="1/m")
    for verb in ("pool", "rate", "drain", "restart"):
        with pytest.raises(CommandRefused):
            linked.order(verb, "", call("note").name if verb == "rate" else "", details=given)
    linked.event(wire.TaskSucceeded, linked.send(call("note", key())))


def test_restart(linked: Harness, able: Able) -> None:
    """Verb `restart`: tasks run in a new process, and none is lost"""
    given = Details(worker=linked.said[1].worker)
    if not can(able, linked, "restart", details=given):
        return
    before = _process_of(linked)
    linked.order("restart", details=given)
    eventually(lambda: _process_of(linked) != before, 60)


def _process_of(worker: Harness) -> tuple[str, str]:
    """Of the process that runs the next task; and that task is not lost."""
    name = key()
    worker.event(wire.TaskSucceeded, worker.send(call("note", name)), 60)
    ((_, _, pid),) = worker.told("note", name)
    return pid, worker.said[0].agent_id  # a process that execs itself keeps its pid


def _in(worker: Harness, given: bytes) -> wire.CommandDetails:
    return Details(args=given, queue=worker.submits_to)


def _may_be(said: wire.Capability, *states: str) -> tuple[str, ...]:
    """An adapter without an engine's list of what waits says that it does not know."""
    return states if said.how == "native" else (*states, "gone")
