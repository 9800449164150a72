# SPDX-License-Identifier: AGPL-3.0-only
"""A real worker runs every kind of task; the server knows what the tasks themselves wrote."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import chain, chord, group
from tests.support.e2e_server import FINAL, eventually, eventually_none

KINDS = {
    "succeeds": ("succeeded", 1, ""),
    "fails": ("failed", 1, "ValueError"),
    "retries and succeeds": ("succeeded", 3, ""),
    "retries and gives up": ("failed", 2, "ConnectionError"),
    "soft time limit": ("failed", 1, "SoftTimeLimitExceeded"),
    "hard time limit": ("failed", 1, "TimeLimitExceeded"),
    "child killed": ("lost", 1, ""),
    "ignored": ("cancelled", 1, ""),
    "rejected": ("failed", 1, "Reject"),
    "expired": ("cancelled", 0, ""),
    "later": ("succeeded", 1, ""),
}
"""Kind of task -> state, attempts, exception."""


@pytest.fixture(scope="module")
def sent(worker, tasks):
    """One task of each kind, by name of the kind."""
    past = datetime.now(UTC) - timedelta(seconds=5)
    return {
        "succeeds": tasks.add.delay(2, 3),
        "fails": tasks.fail.delay("no such order"),
        "retries and succeeds": tasks.flaky.delay(2),
        "retries and gives up": tasks.gives_up.delay(),
        "soft time limit": tasks.soft_limit.delay(),
        "hard time limit": tasks.hard_limit.delay(),
        "child killed": tasks.die.delay(),
        "ignored": tasks.ignored.delay(),
        "rejected": tasks.rejected.delay(),
        "expired": tasks.add.apply_async((1, 1), expires=past),
        "later": tasks.add.apply_async((1, 1), countdown=1),
    }


@pytest.fixture(scope="module")
def ended(sent, project):
    """All of them as the API shows them once each has ended."""
    ids = {kind: result.id for kind, result in sent.items()}

    def open_ones():
        states = project.api.states()
        return {kind: states.get(i) for kind, i in ids.items() if states.get(i) not in FINAL}

    eventually_none(open_ones, 40)
    return {kind: project.api.task(task_id)["task"] for kind, task_id in ids.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_task_ends_in_its_state(ended, kind):
    state, attempts, exception = KINDS[kind]
    task = ended[kind]
    assert task["state"] == state
    assert task["attempt"] == attempts
    assert exception in task["exception"]


def test_attempts_are_what_the_tasks_counted(ended, broker):
    started = broker.count("started")
    stored = {t["task_id"]: t["attempt"] for t in ended.values() if t["attempt"]}
    assert stored == {task_id: started[task_id] for task_id in stored}


def test_outcomes_are_what_the_tasks_wrote(ended, broker):
    """Celery calls `on_failure` neither for a process that it stopped nor for a rejection."""
    untold = {ended[kind]["task_id"] for kind in ("hard time limit", "rejected")}
    ids = {task["task_id"] for task in ended.values()}
    for what in ("succeeded", "failed"):
        stored = {t["task_id"] for t in ended.values() if t["state"] == what}
        assert stored - untold == ids & set(broker.count(what))


def test_failure_shows_where_it_failed(project, ended):
    task = project.api.task(ended["fails"]["task_id"])
    newest = task["attempts"][0]
    assert "raise ValueError(text)" in newest["traceback"]
    assert newest["message"] == "no such order"


def test_task_names_its_queue_and_worker(ended, broker, worker):
    task = ended["succeeds"]
    assert task["queue"] == broker.queue
    assert task["worker"].startswith(worker.name)
    assert task["name"] == "e2e.add"


def test_later_task_says_when_it_was_due(ended):
    task = ended["later"]
    assert task["eta_us"] <= task["started_us"] < task["eta_us"] + 5_000_000


def test_chain_group_and_chord_arrive_whole(worker, tasks, project, broker):
    add, total = tasks.add, tasks.total
    results = [
        chain(add.s(1, 1), add.s(1), add.s(1)).apply_async(),
        group(add.s(n, n) for n in range(3)).apply_async(),
        chord([add.s(n, n) for n in range(3)], total.s()).apply_async(),
    ]
    ids = {task_id for result in results for task_id in _ids(result)}

    def succeeded():
        return {i for i, s in project.api.states().items() if s == "succeeded"}

    assert len(ids) == 3 + 3 + 4
    eventually(lambda: ids <= succeeded())
    assert ids <= set(broker.count("succeeded"))


def _ids(result):
    while result is not None:
        for child in getattr(result, "results", ()):
            yield child.id
        if not hasattr(result, "results"):
            yield result.id
        result = result.parent


def test_attached_producer_shows_tasks_before_a_worker_has_them(project, broker, folder, worker):
    from tests.support.e2e_worker import run_attached

    code = (
        "from tests.support.e2e_app import add\n"
        "add.apply_async((1, 2), queue='nobody', task_id='waits-for-nobody')\n"
    )
    producer = run_attached(folder, broker, project.dsn, code)
    found = eventually(lambda: project.api.states().get("waits-for-nobody"))
    producer.stop()
    assert found == "queued"


def test_totals_say_that_nothing_was_lost(project, ended):
    assert project.api.totals()["lost"] == 0
