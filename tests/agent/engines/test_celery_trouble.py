# SPDX-License-Identifier: AGPL-3.0-only
"""Time limits, killed processes and a broken spool: the truth is told, the host is unharmed."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from tests.agent.engines.conftest import MakeWorker
from tests.support import spool
from tests.support.celery_worker import eventually
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire

pytestmark = pytest.mark.engine


def test_soft_limit_that_the_task_does_not_catch_is_a_timeout(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    task_id = worker.send("sleep", 30, soft_time_limit=1)
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.reason == "timeout"
    assert failed.exception.endswith("SoftTimeLimitExceeded")
    assert 900_000 < failed.run_us < 5_000_000


def test_soft_limit_inside_our_hook_reaches_the_task(make_worker: MakeWorker) -> None:
    worker = make_worker(TEST_HOOK="slow").start("-I", "tests.support.slow_hook")
    task_id = worker.send("sleep", 30, soft_time_limit=1)
    eventually(lambda: [line for line in worker.told("limited") if task_id in line])
    assert worker.event(wire.TaskFailed, task_id).reason == "timeout"
    assert worker.event(wire.TaskStarted, task_id).args == b""


def test_mistake_in_our_hook_does_not_reach_the_task(make_worker: MakeWorker) -> None:
    worker = make_worker(TEST_HOOK="break").start("-I", "tests.support.slow_hook", slots=1)
    results = [worker.result(worker.send("add", n, n)) for n in (1, 2)]
    assert results == [2, 4]
    assert worker.text.count("a mistake of ours") == 1


def test_hard_limit_is_one_timeout(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    task_id = worker.send("sleep", 30, time_limit=1)
    failed = worker.event(wire.TaskFailed, task_id)
    assert failed.reason == "timeout"
    assert failed.exception.endswith("TimeLimitExceeded")
    assert failed.message == "The task ran longer than its hard time limit of 1 s."
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))
    assert worker.kinds(task_id)[-1] == ("TaskFailed", 1)


def test_hard_limit_of_a_retried_attempt_names_the_attempt(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    task_id = worker.send("sleep", 30, time_limit=1, retries=2)
    assert worker.event(wire.TaskFailed, task_id).attempt == 3


def test_hard_limit_of_a_task_that_keeps_its_message_is_no_failure(
    make_worker: MakeWorker,
) -> None:
    worker = make_worker().start()
    task_id = worker.send("over")
    worker.event(wire.TaskSucceeded, task_id)
    kinds = [kind for kind, _ in worker.kinds(task_id)]
    assert kinds == ["TaskReceived", "TaskStarted", "TaskReceived", "TaskStarted", "TaskSucceeded"]


def test_killed_child_is_a_lost_task(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    task_id = worker.send("sleep", 30)
    eventually(lambda: worker.told("sleeps"))
    os.kill(int(worker.told("sleeps")[0][2]), signal.SIGKILL)
    lost = worker.event(wire.TaskLost, task_id)
    assert "SIGKILL" in lost.message
    assert lost.worker.startswith(worker.queue)
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))


def test_task_that_exits_is_lost(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    assert "SystemExit" in worker.event(wire.TaskLost, worker.send("leaves")).message


def test_killed_worker_leaves_every_event_in_the_spool(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    done = [worker.send("add", n, n) for n in range(50)]
    eventually(lambda: len(worker.events(wire.TaskSucceeded)) == 50)
    assert worker.process is not None
    family = psutil.Process(worker.process.pid).children(recursive=True)
    worker.stop(signal.SIGKILL)
    for child in family:
        child.kill()
    assert {event.task_id for event in worker.events(wire.TaskSucceeded)} == set(done)


def test_recycled_children_report_every_task(make_worker: MakeWorker) -> None:
    worker = make_worker().start("--max-tasks-per-child", "3")
    sent = {worker.send("add", n, n) for n in range(40)}
    eventually(lambda: len(worker.events(wire.TaskSucceeded)) >= 40, 60)
    assert {event.task_id for event in worker.events(wire.TaskSucceeded)} == sent
    assert len(worker.events(wire.TaskStarted)) == 40
    lanes = list(worker.spool.rglob("lock"))
    assert len(lanes) <= 6


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_report_the_same(make_worker: MakeWorker, pool: str) -> None:
    worker = make_worker().start("-P", pool)
    task_id = worker.send("add", 2, 2)
    worker.event(wire.TaskSucceeded, task_id)
    kinds = ["TaskReceived", "TaskStarted", "TaskSucceeded"]
    assert [kind for kind, _ in worker.kinds(task_id)] == kinds


def test_task_that_exits_in_a_thread_is_lost(make_worker: MakeWorker) -> None:
    worker = make_worker().start("-P", "threads")
    assert "SystemExit" in worker.event(wire.TaskLost, worker.send("leaves")).message


def test_unusable_spool_does_not_stop_the_worker(make_worker: MakeWorker, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    worker = make_worker().start()
    assert worker.result(worker.send("add", 2, 2)) == 4
    assert "QUEUEDECK_SPOOL" in worker.text


def test_wrong_dsn_is_told_and_the_worker_works(make_worker: MakeWorker) -> None:
    worker = make_worker(dsn="https://nonsense").start()
    assert worker.result(worker.send("add", 2, 2)) == 4
    assert worker.text.count("Queuedeck: not attached") == 1


def test_worker_says_that_the_server_is_away(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    eventually(lambda: "nothing listens at http://127.0.0.1:9" in worker.text)


def test_worker_without_a_log_level_says_that_it_is_connected(
    make_worker: MakeWorker, edge: FarEdge
) -> None:
    worker = make_worker(dsn=spool.dsn(edge.port)).launch()

    def lines() -> list[str]:
        return [line for line in worker.text.splitlines() if "Queuedeck" in line]

    eventually(lines, 30)
    assert worker.result(worker.send("add", 1, 1)) == 2
    (connected,) = lines()
    assert f"connected to http://127.0.0.1:{edge.port} as project shop: celery 5." in connected
    edge.stop()
    eventually(lambda: len(lines()) == 2)
    edge.start()
    eventually(lambda: len(lines()) == 3)
    assert "not connected" in lines()[1]
    assert "connected again" in lines()[2]


def test_beat_names_the_schedule(make_worker: MakeWorker, tmp_path: Path) -> None:
    worker = make_worker().start("-B", "-s", str(tmp_path / "beat"))
    try:
        published = eventually(lambda: worker.events(wire.TaskPublished))[0]
        assert published.schedule == "every second"
        eventually(lambda: worker.events(wire.TaskSucceeded))
    finally:
        worker.stop()  # beat, a child of its own, outlives a worker that is killed


def test_inspect_is_not_attached(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.attached(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'celery', '-A', 'tests.support.celery_tasks',"
        " 'inspect', 'ping', '-t', '0.2'], capture_output=True)"
    )
    assert spool.events(worker.spool) == []
