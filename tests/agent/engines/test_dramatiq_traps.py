# SPDX-License-Identifier: AGPL-3.0-only
"""Workers that stop in the middle, and workers of greenlets."""

import pytest
from tests.support import spool
from tests.support.celery_worker import eventually
from tests.support.dramatiq_worker import MakeWorker
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine


def test_actor_that_hears_of_the_end_is_tried_again(make_dramatiq: MakeWorker) -> None:
    """With `notify_shutdown` Dramatiq raises an exception into the actor: no failure of the task,
    but one more attempt."""
    worker = make_dramatiq().start()
    task_id = worker.send("notified")
    eventually(lambda: worker.told("notified"))
    worker.stop()
    retrying = worker.event(wire.TaskRetrying, task_id)
    assert (retrying.attempt, retrying.exception.rpartition(".")[2]) == (1, "Shutdown")
    worker.start()
    assert worker.event(wire.TaskSucceeded, task_id).attempt == 2
    assert worker.events(wire.TaskFailed, task_id) == []


def test_worker_of_greenlets_reports_the_same(make_dramatiq: MakeWorker, edge: FarEdge) -> None:
    worker = make_dramatiq(QUEUEDECK_DSN=spool.dsn(edge.port)).start(green=True, threads=8)
    sent = {worker.send("sleep", 1) for _ in range(8)}
    eventually(lambda: {one.task_id for one in edge.events(wire.TaskSucceeded)} == sent)
    starts = edge.events(wire.TaskStarted)
    ends = edge.events(wire.TaskSucceeded)
    assert sorted(one.task_id for one in starts) == sorted(sent)
    assert max(one.at_us for one in starts) < min(one.at_us for one in ends)
    assert len(edge.requests) == 1
    assert "Queuedeck's agent failed" not in worker.text


def test_retries_of_greenlets_count_attempts(make_dramatiq: MakeWorker) -> None:
    worker = make_dramatiq().start(green=True)
    task_id = worker.send("again")
    assert worker.event(wire.TaskFailed, task_id).attempt == 3
    assert [one.attempt for one in worker.events(wire.TaskRetrying, task_id)] == [1, 2]
