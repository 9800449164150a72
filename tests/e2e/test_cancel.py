# SPDX-License-Identifier: AGPL-3.0-only
"""A waiting task that is cancelled does not run."""

import time

from tests.support.e2e_server import eventually
from tests.support.e2e_worker import run_attached, start_worker

DUE_S = 6

BEHIND_OTHERS = """
from tests.support.e2e_app import add, nap
for _ in range(4):
    nap.delay(2)
add.apply_async((5, 5), task_id="behind-others")
"""

FOR_A_WORKER_TO_COME = """
from tests.support.e2e_app import add
add.apply_async((6, 6), queue="later", task_id="for-a-worker-to-come")
add.apply_async((7, 7), queue="later", task_id="after-it")
"""


def test_task_that_is_due_later_does_not_run(worker, tasks, project, broker):
    sent = tasks.add.apply_async((4, 4), countdown=DUE_S)
    due = time.monotonic() + DUE_S
    eventually(lambda: project.api.states().get(sent.id) == "scheduled")
    command = project.api.act(sent.id, "cancellations")
    assert project.api.outcome(command)["state"] == "done"
    eventually(lambda: project.api.states()[sent.id] == "cancelled", DUE_S + 10)
    time.sleep(max(0.0, due + 1 - time.monotonic()))
    assert not broker.count("started")[sent.id]


def test_task_that_waits_behind_others_does_not_run(worker, folder, project, broker):
    producer = run_attached(folder, broker, project.dsn, BEHIND_OTHERS)
    eventually(lambda: project.api.states().get("behind-others") == "queued")
    command = project.api.act("behind-others", "cancellations")
    assert project.api.outcome(command)["state"] == "done"
    eventually(lambda: project.api.states()["behind-others"] == "cancelled")
    producer.stop()
    assert not broker.count("started")["behind-others"]


def test_task_is_cancelled_for_a_worker_that_starts_later(worker, folder, project, broker):
    """The worker that was told is not the one that takes it: the intent must travel."""
    producer = run_attached(folder, broker, project.dsn, FOR_A_WORKER_TO_COME)
    eventually(lambda: project.api.states().get("after-it") == "queued")
    command = project.api.act("for-a-worker-to-come", "cancellations")
    assert project.api.outcome(command)["state"] == "done"
    late = start_worker(folder, broker, project.dsn, "-Q", "later")
    eventually(lambda: project.api.states()["after-it"] == "succeeded", 30)
    eventually(lambda: project.api.states()["for-a-worker-to-come"] == "cancelled")
    late.stop()
    producer.stop()
    assert not broker.count("started")["for-a-worker-to-come"]


def test_ended_task_is_not_cancelled(worker, tasks, project):
    sent = tasks.add.delay(1, 2)
    eventually(lambda: project.api.states().get(sent.id) == "succeeded")
    answer = project.api.ask("POST", f"/tasks/celery/{sent.id}/cancellations", expect=409)
    assert "ended" in answer["error"]["message"] or "succeeded" in answer["error"]["message"]
