# SPDX-License-Identifier: AGPL-3.0-only
"""Where arq counts, stores or stops differently than one would think."""

import signal

import pytest
from tests.support import spool
from tests.support.arq_worker import MakeWorker
from tests.support.celery_worker import eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine

DONE = [("Published", 1), ("Started", 1), ("Succeeded", 1)]


def test_worker_without_retries_fails_a_job_that_asks_for_one(make_arq: MakeWorker) -> None:
    """arq honours `Retry` only with `retry_jobs`."""
    worker = make_arq(TEST_NO_RETRIES="1").start()
    job_id = worker.attached("send('again')")
    failed = worker.event(wire.TaskFailed, job_id)
    assert (failed.exception, failed.attempt) == ("arq.worker.Retry", 1)
    assert worker.kinds(job_id) == [*DONE[:2], ("Failed", 1)]


def test_stop_uses_up_the_only_try_of_a_job(make_arq: MakeWorker) -> None:
    """As of every cron job: the second worker refuses it without running it."""
    worker = make_arq().start()
    job_id = worker.attached("send('once', 30)")
    eventually(lambda: worker.told("sleeps"))
    worker.stop(signal.SIGTERM)
    worker.event(wire.TaskRetrying, job_id)
    worker.start()
    failed = worker.event(wire.TaskFailed, job_id)
    assert (failed.message, failed.attempt) == ("max 1 retries exceeded", 2)
    assert len(worker.told("sleeps")) == 1


def test_job_that_ends_its_worker_is_begun_again(make_arq: MakeWorker) -> None:
    """A worker of arq is one process: nobody is left to say how the first attempt ended."""
    worker = make_arq().start()
    job_id = worker.attached("send('leaves')")
    assert worker.process is not None
    worker.process.wait(20)
    assert worker.kinds(job_id) == DONE[:2]
    worker.send(f"forget('arq:in-progress:{job_id}')")
    worker.start()
    eventually(lambda: ("Started", 2) in worker.kinds(job_id))


def test_error_that_cannot_be_stored_is_shown(make_arq: MakeWorker) -> None:
    worker = make_arq().start()
    job_id = worker.attached("send('fails_unwritably')")
    failed = worker.event(wire.TaskFailed, job_id)
    assert failed.exception == "tests.support.arq_tasks.Unwritable"
    assert failed.message == "cannot be stored"


def test_job_that_blocks_the_loop_does_not_silence_the_agent(
    make_arq: MakeWorker, edge: FarEdge
) -> None:
    worker = make_arq()
    worker.dsn = spool.dsn(edge.port)
    worker.start()
    eventually(lambda: edge.welcomed)
    worker.attached("send('blocks', 5)")
    eventually(lambda: worker.told("blocks"))
    eventually(lambda: edge.events(wire.TaskStarted))
    assert not edge.events(wire.TaskSucceeded)
    eventually(lambda: edge.events(wire.TaskSucceeded))
