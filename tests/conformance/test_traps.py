# SPDX-License-Identifier: AGPL-3.0-only
"""Traps that wait in every engine: a task with a child of its own, a hook of ours that is broken,
and a time limit that fires inside one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.every import EVERY
from tests.conformance.harness import Harness, call, eventually, key, replace

from queuedeck_agent import wire

pytestmark = pytest.mark.engine
Make = Callable[..., Harness]
BROKEN = "a mistake of ours"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Harness] = []

    def start(engine: str, **environment: str) -> Harness:
        made.append(EVERY[engine](tmp_path, environment))
        return made[-1].start()

    yield start
    for worker in made:
        worker.close()


def told_of(worker: Harness, task_id: str) -> list[str]:
    """Kinds of the events of a task that runs, each as often as it was told."""
    kinds = [type(one).__name__ for one in worker.events(wire.TaskEvent, task_id)]
    return sorted(one for one in kinds if one != "TaskReceived")


@pytest.mark.parametrize("engine", EVERY)
def test_child_of_a_task_tells_nothing_twice(make: Make, engine: str) -> None:
    worker = make(engine)
    name = key()
    task_id = worker.send(call("forks", name))
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.told("child", name)[0][2] != worker.told("parent", name)[0][2]
    assert worker.event(wire.TaskTagged, task_id).tags == (f"child-{name}",)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    assert told_of(worker, task_id) == ["TaskStarted", "TaskSucceeded", "TaskTagged"]
    assert "Queuedeck's agent failed" not in worker.text


@pytest.mark.parametrize("engine", EVERY)
def test_broken_hook_harms_no_task(make: Make, engine: str) -> None:
    worker = make(engine, TEST_HOOK="break")
    sent = [worker.send(call("add", n, n)) for n in (1, 2)]
    results = [eventually(lambda one=one: worker.result(one)) for one in sent]
    assert results == [2, 4]
    for task_id in sent:
        worker.event(wire.TaskSucceeded, task_id)
        assert worker.event(wire.TaskStarted, task_id).args == b""
    assert BROKEN in worker.text


@pytest.mark.parametrize("engine", ["celery", "rq", "dramatiq"])
def test_time_limit_inside_a_hook_ends_the_attempt(make: Make, engine: str) -> None:
    """Huey's begin with the task's own code; those of arq and taskiq fire at an `await`, and no
    hook of ours has one."""
    worker = make(engine, TEST_HOOK="slow")
    name = key()
    task_id = worker.send(replace(call("sleep", name, 15), limit=1))
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.reason, failed.attempt) == ("timeout", 1)
    assert worker.event(wire.TaskStarted, task_id).args == b""
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    assert not worker.told("slept", name)
    assert "Queuedeck's agent failed" not in worker.text


@pytest.mark.parametrize("engine", ["celery", "rq", "dramatiq", "huey"])
def test_time_limit_inside_a_report_ends_the_attempt(make: Make, engine: str) -> None:
    """A task that reports again and again is in our code most of the time."""
    worker = make(engine)
    name = key()
    task_id = worker.send(replace(call("reports_for_ever", name), limit=1))
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.reason == "timeout"
    assert failed.run_us < 5_000_000
    assert worker.events(wire.TaskProgressed, task_id)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    assert "Queuedeck's agent failed" not in worker.text


@pytest.mark.parametrize("engine", EVERY)
def test_broken_hook_of_a_sender_sends_all_the_same(make: Make, engine: str) -> None:
    """A web process: the request that sends the task must not notice."""
    worker = make(engine)
    worker.environment |= {"TEST_HOOK": "break"}
    task_id = worker.send_attached(call("add", 2, 3))
    assert eventually(lambda: worker.result(task_id)) == 5
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.event(wire.TaskStarted, task_id).args == b'{"args":[2,3],"kwargs":{}}'
