# SPDX-License-Identifier: AGPL-3.0-only
"""Processes, other storages, time limits, kills: the truth is told, the host is unharmed."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.support import spool
from tests.support.celery_worker import eventually
from tests.support.huey_worker import MakeWorker, Worker

from queuedeck_agent import wire

pytestmark = pytest.mark.engine

DONE = [("Published", 1), ("Started", 1), ("Succeeded", 1)]


def pid_of(worker: Worker, task_id: str) -> int:
    """The process that sleeps in a task, once it does."""

    def line() -> Any:
        return next((one for one in worker.told("sleeps") if one[1] == task_id), None)

    return int(eventually(line)[2])


def test_worker_processes_report_and_share_one_link(make_huey: MakeWorker) -> None:
    worker = make_huey().start("-k", "process")
    sent = [worker.attached("parent().id") for _ in range(6)]
    for task_id in sent:
        child = json.loads(worker.event(wire.TaskSucceeded, task_id).result)
        worker.event(wire.TaskSucceeded, child)
        assert worker.kinds(child) == DONE
    task_id = worker.attached("again().id")
    assert worker.event(wire.TaskFailed, task_id).attempt == 3
    assert worker.process is not None
    pids = {event.pid for event in worker.events(wire.TaskStarted)}
    assert worker.process.pid not in pids
    assert worker.text.count("nothing listens at") == 1


def test_killed_worker_process_is_a_lost_task(make_huey: MakeWorker) -> None:
    worker = make_huey().start("-k", "process", "-c", "1")
    task_id = worker.attached("sleep(30).id")
    os.kill(pid_of(worker, task_id), signal.SIGKILL)
    lost = worker.event(wire.TaskLost, task_id)
    assert "SIGKILL" in lost.message
    assert lost.name.endswith(".sleep")
    worker.event(wire.TaskSucceeded, worker.attached("add(1, 1).id"))
    assert worker.kinds(task_id) == [DONE[0], DONE[1], ("Lost", 1)]


def test_task_of_a_stopped_process_is_lost(make_huey: MakeWorker) -> None:
    worker = make_huey().start("-k", "process")
    task_id = worker.attached("sleep(30).id")
    pid_of(worker, task_id)
    worker.stop(signal.SIGTERM)
    assert "stopped" in worker.event(wire.TaskLost, task_id).message
    assert worker.kinds(task_id) == [DONE[0], DONE[1], ("Lost", 1)]


def test_task_of_a_stopped_thread_is_lost(make_huey: MakeWorker) -> None:
    worker = make_huey().start()
    task_id = worker.attached("sleep(30).id")
    pid_of(worker, task_id)
    worker.stop(signal.SIGTERM)
    assert "stopped" in worker.event(wire.TaskLost, task_id).message


def test_graceful_stop_lets_the_task_end(make_huey: MakeWorker) -> None:
    worker = make_huey().start("-k", "process")
    task_id = worker.attached("sleep(1).id")
    pid_of(worker, task_id)
    worker.stop(signal.SIGINT)
    assert worker.kinds(task_id) == DONE


def test_time_limit_of_a_process_is_a_timeout(make_huey: MakeWorker) -> None:
    worker = make_huey().start("-k", "process")
    task_id = worker.attached("huey.enqueue(sleep.s(30, timeout=1)).id")
    failed = worker.event(wire.TaskFailed, task_id)
    assert (failed.reason, failed.exception) == ("timeout", "huey.exceptions.TaskTimeout")
    assert 900_000 < failed.run_us < 5_000_000


def test_time_limit_that_a_thread_asks_for_is_a_timeout(make_huey: MakeWorker) -> None:
    worker = make_huey().start()
    task_id = worker.attached("huey.enqueue(limited.s(timeout=1)).id")
    assert worker.event(wire.TaskFailed, task_id).reason == "timeout"


@pytest.mark.parametrize("storage", ["sqlite", "file", "priority"])
def test_other_storages_report_the_same(make_huey: MakeWorker, storage: str) -> None:
    worker = make_huey(storage).start("-k", "process")
    options = "" if storage == "file" else ", priority=7"
    task_id = worker.attached(f"huey.enqueue(add.s(2, 3{options})).id")
    assert worker.event(wire.TaskSucceeded, task_id).result == b"5"
    assert worker.kinds(task_id) == DONE
    assert worker.event(wire.TaskPublished, task_id).priority == (7 if options else -1)
    again = worker.attached("once_more().id")
    assert worker.event(wire.TaskSucceeded, again).attempt == 3
    scheme = {"priority": "redis"}.get(storage, storage)
    (name,) = {one.name for one in worker.events(wire.SourceSeen)}
    assert name.startswith(f"{scheme}://localhost")


@pytest.mark.parametrize("serializer", ["gzip", "zlib", "signed"])
def test_stamp_goes_through_compression_and_signature(
    make_huey: MakeWorker, serializer: str
) -> None:
    worker = make_huey(TEST_SERIALIZER=serializer).start()
    task_id = worker.attached("once_more().id")
    assert worker.event(wire.TaskSucceeded, task_id).attempt == 3
    published = worker.event(wire.TaskPublished, task_id)
    stamps = {event.published_us for event in worker.events(wire.TaskStarted, task_id)}
    assert stamps == {published.at_us}


def test_consumer_without_the_agent_runs_what_an_attached_process_sent(
    make_huey: MakeWorker,
) -> None:
    worker = make_huey()
    first = worker.attached("add(2, 3).id")
    assert worker.send(f"message_of({first!r})") == [2, 3]
    worker.start(attached=False)
    assert worker.send(f"huey.result({first!r}, blocking=True, timeout=10)") == 5
    assert worker.kinds(first) == [DONE[0]]


def test_periodic_task_names_its_schedule(make_huey: MakeWorker) -> None:
    worker = make_huey(TEST_PERIODIC="1").start("-k", "process")
    published = eventually(lambda: worker.events(wire.TaskPublished))[0]
    assert published.schedule == published.name == "tests.support.huey_tasks.every_minute"
    done = worker.event(wire.TaskSucceeded, published.task_id)
    assert done.result == b'"tick"'


def test_unusable_spool_does_not_stop_the_consumer(make_huey: MakeWorker, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    worker = make_huey().start("-k", "process")
    task_id = worker.send("add(2, 2).id")
    assert worker.send(f"huey.result({task_id!r}, blocking=True, timeout=10)") == 4
    assert "QUEUEDECK_SPOOL" in worker.text


def test_wrong_dsn_is_told_once_and_the_consumer_works(make_huey: MakeWorker) -> None:
    worker = make_huey()
    worker.dsn = "https://nonsense"
    worker.start()
    for number in (1, 2):
        task_id = worker.send(f"add({number}, 0).id")
        assert worker.send(f"huey.result({task_id!r}, blocking=True, timeout=10)") == number
    assert worker.text.count("Queuedeck: not attached") == 1


def test_killed_consumer_leaves_every_event_in_the_spool(make_huey: MakeWorker) -> None:
    worker = make_huey().start()
    sent = worker.send("[add(n, n).id for n in range(50)]")
    eventually(lambda: len(worker.events(wire.TaskSucceeded)) == 50)
    worker.stop(signal.SIGKILL)
    assert {event.task_id for event in worker.events(wire.TaskSucceeded)} == set(sent)
    assert spool.events(worker.spool)


def test_restarted_consumer_is_attached_again(make_huey: MakeWorker) -> None:
    """On SIGHUP Huey replaces its own process image: nothing is run at the end of the old one."""
    worker = make_huey().start("-k", "process")
    first = worker.attached("add(1, 1).id")
    worker.event(wire.TaskSucceeded, first)
    assert worker.process is not None
    worker.process.send_signal(signal.SIGHUP)
    eventually(lambda: worker.text.count("commands are available") == 2)
    second = worker.attached("add(2, 2).id")
    worker.event(wire.TaskSucceeded, second)
    assert worker.kinds(first) == worker.kinds(second) == DONE
