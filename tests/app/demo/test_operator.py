# SPDX-License-Identifier: AGPL-3.0-only
"""The demo's operator acts once on each task, and only on some."""

import pytest

from queuedeck.clock import SECOND_US, now_us
from queuedeck.demo.operator import CANCELLATIONS, HELD_AFTER_US, RETRIES, Operator
from queuedeck.errors import Unavailable


class FakeClient:
    """Takes every command, unless told to refuse; all of them are done at once."""

    def __init__(self):
        self.retried, self.cancelled = [], []
        self.refuses = ()
        """Engines."""

    def retry(self, engine, task_id):
        return self._take(self.retried, engine, task_id)

    def cancel(self, engine, task_id):
        return self._take(self.cancelled, engine, task_id)

    def command(self, command_id):
        return {"id": command_id, "state": "done", "verb": "x", "new_task_id": f"new-{command_id}"}

    def _take(self, taken, engine, task_id):
        if engine in self.refuses:
            raise Unavailable("POST was answered with 409")
        taken.append(task_id)
        return {"id": task_id}


def a_failure(number, name="stock.sync_supplier", engine="huey"):
    return {
        "engine": engine,
        "task_id": f"t{number}",
        "name": name,
        "state": "failed",
        "eta_us": None,
    }


def a_reminder(number, in_s, state="retrying"):
    eta = now_us() + in_s * SECOND_US
    name = "orders.send_reminder"
    task_id = f"r{number}"
    return {"engine": "celery", "task_id": task_id, "name": name, "state": state, "eta_us": eta}


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def later(monkeypatch):
    """Lets time pass for the operator: a function that takes microseconds."""
    passed = 0

    def wait(us):
        nonlocal passed
        passed += us

    monkeypatch.setattr("queuedeck.demo.operator.now_us", lambda: now_us() + passed)
    return wait


def look_often(client, tasks, operator=None):
    operator = operator or Operator(client)
    for _ in range(30):
        operator.look(tasks)
    return operator


def test_failed_tasks_are_retried_once_each_up_to_a_number(client):
    look_often(client, [a_failure(n) for n in range(9)])
    assert client.retried == [f"t{n}" for n in range(RETRIES["stock.sync_supplier"])]


def test_retrying_tasks_are_cancelled_when_there_is_time(client, later):
    tasks = [a_reminder(0, 1), *(a_reminder(n, 30) for n in range(1, 9))]
    operator = look_often(client, tasks)
    assert client.cancelled == []
    later(HELD_AFTER_US)
    look_often(client, tasks, operator)
    assert client.cancelled == [f"r{n}" for n in range(1, 1 + CANCELLATIONS)]


@pytest.mark.parametrize("state", ["scheduled", "queued", "running"])
def test_task_that_does_not_wait_for_another_attempt_is_not_cancelled(client, later, state):
    operator = look_often(client, [a_reminder(1, 30, state)])
    later(HELD_AFTER_US)
    look_often(client, [a_reminder(1, 30, state)], operator)
    assert client.cancelled == []


def test_refused_command_is_tried_again(client):
    operator = Operator(client)
    client.refuses = ("huey",)
    operator.look([a_failure(1)])
    assert operator.complaints == ["POST was answered with 409"]
    client.refuses = ()
    operator.look([a_failure(1)])
    assert client.retried == ["t1"]
    assert operator.complaints == []


def test_engine_that_refuses_does_not_hold_up_the_others(client):
    client.refuses = ("huey",)
    other = a_failure(2, "mail.send_receipt", "dramatiq")
    look_often(client, [a_failure(1), other])
    assert client.retried == ["t2"]


def test_outcomes_are_followed_to_the_end(client, later):
    tasks = [a_failure(1), a_reminder(2, 30)]
    operator = look_often(client, tasks)
    later(HELD_AFTER_US)
    look_often(client, tasks, operator)
    assert operator.outcomes == {"done": 0, "failed": 2}
    assert operator.follow()
    assert operator.outcomes == {"done": 2, "failed": 0}
    assert ("huey", "new-t1") in operator.retried
