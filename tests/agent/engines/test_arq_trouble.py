# SPDX-License-Identifier: AGPL-3.0-only
"""Stops, kills, cron and odd settings: the truth is told, the host is unharmed."""

import signal
from pathlib import Path

import pytest
from tests.support.arq_worker import MakeWorker, Worker
from tests.support.celery_worker import eventually

from queuedeck_agent import wire

pytestmark = pytest.mark.engine

DONE = [("Published", 1), ("Started", 1), ("Succeeded", 1)]


def wait_for_sleep(worker: Worker, job_id: str, attempt: int = 1) -> None:
    wanted = ["sleeps", job_id, str(attempt)]
    eventually(lambda: wanted in worker.told("sleeps"))


def test_job_of_a_stopped_worker_is_another_attempt(make_arq: MakeWorker) -> None:
    """arq's hooks `on_job_end` and `after_job_end` are called here, too: it has not ended."""
    worker = make_arq().start()
    job_id = worker.attached("send('sleep', 2)")
    wait_for_sleep(worker, job_id)
    worker.stop(signal.SIGTERM)
    retrying = worker.event(wire.TaskRetrying, job_id)
    assert retrying.exception.endswith("CancelledError")
    assert "stopped" in retrying.message
    worker.start()
    assert worker.event(wire.TaskSucceeded, job_id).attempt == 2
    assert worker.kinds(job_id) == [
        DONE[0], DONE[1], ("Retrying", 1), ("Started", 2), ("Succeeded", 2),
    ]  # fmt: skip


def test_job_of_a_killed_worker_runs_again_as_another_attempt(make_arq: MakeWorker) -> None:
    worker = make_arq().start()
    job_id = worker.attached("send('sleep', 1)")
    wait_for_sleep(worker, job_id)
    worker.stop(signal.SIGKILL)
    assert worker.kinds(job_id) == DONE[:2]
    # arq waits for this key to expire, 310 s by default, before it runs the job again.
    worker.send(f"forget('arq:in-progress:{job_id}')")
    worker.start()
    assert worker.event(wire.TaskSucceeded, job_id).attempt == 2
    assert ("Started", 2) in worker.kinds(job_id)


def test_cron_names_its_schedule(make_arq: MakeWorker) -> None:
    worker = make_arq(TEST_CRON="1").start()
    published = eventually(lambda: worker.events(wire.TaskPublished))[0]
    assert published.schedule == published.name == "cron:tick"
    assert worker.event(wire.TaskSucceeded, published.task_id).result == b'"tick"'
    job_id = worker.attached("send('cron:tick')")
    worker.event(wire.TaskSucceeded, job_id)
    assert worker.event(wire.TaskPublished, job_id).schedule == ""


def test_serializer_of_the_application_gets_no_stamp(make_arq: MakeWorker) -> None:
    """It may refuse what it does not know, so both ends capture."""
    worker = make_arq(TEST_PACKED="1").start()
    job_id = worker.attached("send('add', 2, 3)")
    worker.event(wire.TaskSucceeded, job_id)
    assert worker.kinds(job_id) == DONE
    published = worker.event(wire.TaskPublished, job_id)
    started = worker.event(wire.TaskStarted, job_id)
    assert started.args == published.args == b'{"args":[2,3],"kwargs":{}}'
    assert started.published_us == published.at_us
    failed = worker.event(wire.TaskFailed, worker.attached("send('limited', 30)"))
    assert failed.reason == "timeout"
    failed = worker.event(wire.TaskFailed, worker.attached("send('nowhere')"))
    assert failed.message == "function 'nowhere' not found"


def test_worker_without_the_agent_runs_what_an_attached_process_sent(make_arq: MakeWorker) -> None:
    worker = make_arq()
    job_id = worker.attached("send('add', 2, 3)")
    worker.start(attached=False)
    assert worker.send(f"result({job_id!r})") == 5
    assert worker.kinds(job_id) == [DONE[0]]


def test_burst_worker_reports_and_ends(make_arq: MakeWorker) -> None:
    worker = make_arq()
    sent = worker.send("many(20)")
    worker.start("--burst")
    assert worker.process is not None
    assert worker.process.wait(20) == 0
    assert {event.task_id for event in worker.events(wire.TaskSucceeded)} == set(sent)


def test_unusable_spool_does_not_stop_the_worker(make_arq: MakeWorker, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    worker = make_arq().start()
    job_id = worker.send("send('add', 2, 2)")
    assert worker.send(f"result({job_id!r})") == 4
    assert "QUEUEDECK_SPOOL" in worker.text


def test_wrong_dsn_is_told_once_and_the_worker_works(make_arq: MakeWorker) -> None:
    worker = make_arq()
    worker.dsn = "https://nonsense"
    worker.start()
    for number in (1, 2):
        job_id = worker.attached(f"send('add', {number}, 0)")
        assert worker.send(f"result({job_id!r})") == number
    assert worker.text.count("Queuedeck: not attached") == 1


def test_worker_says_that_the_server_is_away(make_arq: MakeWorker) -> None:
    worker = make_arq().start()
    eventually(lambda: "nothing listens at http://127.0.0.1:9" in worker.text)
