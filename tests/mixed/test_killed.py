# SPDX-License-Identifier: AGPL-3.0-only
"""SIGKILL for a whole worker in the middle of a task, the engine's own timeouts lowered: nothing
that was recorded is missing, and the task ends as that engine really behaves."""

from typing import NamedTuple

import pytest
from tests.conformance.harness import call, eventually, key
from tests.mixed.conftest import Place
from tests.mixed.engines import ENGINES, NOTHING, Mixed

pytestmark = pytest.mark.engine
BEFORE = 8
"""Tasks that have ended when the worker is killed."""


class Fate(NamedTuple):
    """What becomes of a task whose whole worker is killed, once there is a worker again."""

    state: str
    runs: int
    attempt: int
    word: str
    """What the engine's own store says."""


FATES = {
    "celery": Fate("lost", 1, 1, NOTHING),
    "rq": Fate("lost", 1, 1, "failed"),
    "dramatiq": Fate("succeeded", 2, 1, "result"),
    "huey": Fate("lost", 1, 1, NOTHING),
    "arq": Fate("succeeded", 2, 2, "success"),
    "taskiq": Fate("lost", 1, 1, NOTHING),
}
"""Each is on the engine's page, with the engine's default for how long it takes."""


def kill_all(worker: Mixed, task_id: str) -> None:
    """The worker and all its children, then what an operator does."""
    worker.kill()
    worker.age_the_dead()
    worker.age(task_id)
    worker.start()


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_worker_loses_nothing_that_was_recorded(place: Place, engine: str) -> None:
    worker, api = place(engine)
    worker.start()
    code = ", ".join(worker.sending(call("note", key())) for _ in range(BEFORE))
    done = eval(worker.attached(f"print([{code}])"))
    eventually(lambda: len(worker.told("note")) == BEFORE)
    name = key()
    running = worker.send_attached(call("sleep", name, 4))
    eventually(lambda: worker.told("sleeps", name))
    kill_all(worker, running)
    fate = FATES[engine]
    after = worker.send_attached(call("note", key()))
    expected = dict.fromkeys([*done, after], "succeeded") | {running: fate.state}
    eventually(lambda: api.states() == expected, 60)
    assert len(worker.told("sleeps", name)) == fate.runs
    (shown,) = (task for task in api.tasks() if task["task_id"] == running)
    assert shown["attempt"] == fate.attempt
    assert worker.word("sleep", running) == fate.word


@pytest.mark.parametrize("engine", ["celery", "rq", "huey", "taskiq"])
def test_task_that_leaves_its_process_without_a_word_is_lost(place: Place, engine: str) -> None:
    """By `os._exit(0)`: to RQ and taskiq that looks as if all was well, and nobody tells."""
    worker, api = place(engine)
    worker.start()
    name = key()
    task_id = worker.send_attached(call("vanishes", name, 0))
    eventually(lambda: worker.told("vanishes", name))
    after = worker.send_attached(call("note", key()))
    eventually(lambda: api.states() == {task_id: "lost", after: "succeeded"}, 60)
    assert len(worker.told("vanishes", name)) == 1
