# SPDX-License-Identifier: Apache-2.0
"""Marks say which process of a spool lives: by locks that real processes hold, not by time."""

import os
import signal
import subprocess
import sys
import time

import pytest

from queuedeck_agent import system, wire
from queuedeck_agent.marks import KEPT_S, Marks

SOURCE, WORKER = "0123456789ab", "w1@host"
HOLD = """
import os, sys, time
from pathlib import Path
from queuedeck_agent import wire
from queuedeck_agent.marks import Marks
marks = Marks(Path(sys.argv[1]), sys.argv[2])
marks.keep(int(sys.argv[3]), [wire.EngineInfo("huey", "3", "0123456789ab", "worker", "w1@host")])
child = os.fork() if len(sys.argv) > 4 else -1
if child:
    print(child, flush=True)
time.sleep(60)
"""


def now_us():
    return time.time_ns() // 1_000


@pytest.fixture
def hold(tmp_path):
    """Starts a worker's process that keeps its mark; gives it and what it printed."""
    running = []

    def start(family="a" * 32, started_us=1, *more):
        code = [sys.executable, "-c", HOLD, tmp_path, family, str(started_us), *more]
        process = subprocess.Popen(code, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def fate(folder, *starts):
    return Marks(folder, "b" * 32).fate(SOURCE, starts)


def end(process):
    process.kill()
    process.wait()


def test_a_process_is_alive_until_it_is_killed(hold, tmp_path):
    worker, _ = hold()
    began = wire.StartSeen(WORKER, now_us(), worker.pid)
    assert fate(tmp_path, began).process == "alive"
    end(worker)
    found = fate(tmp_path, began)
    assert (found.process, found.families) == ("dead", ("a" * 32,))
    assert str(worker.pid) in found.why


def test_a_family_lives_as_long_as_one_of_its_children(hold, tmp_path):
    worker, child = hold("a" * 32, 1, "fork")
    began = wire.StartSeen(WORKER, now_us(), child)
    end(worker)
    assert fate(tmp_path, began).process == "alive"
    os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 10
    while fate(tmp_path, began).process == "alive":
        assert time.monotonic() < until
    assert fate(tmp_path, began).process == "dead"


def test_a_worker_that_came_later_did_not_begin_it(hold, tmp_path):
    old, _ = hold("a" * 32, 1)
    began = wire.StartSeen(WORKER, now_us(), 0)
    end(old)
    hold("c" * 32, now_us())
    assert fate(tmp_path, began).process == "dead"


def test_of_two_of_one_name_the_very_process_counts(hold, tmp_path):
    first, _ = hold("a" * 32)
    second, _ = hold("c" * 32)
    end(first)
    began = now_us()
    assert fate(tmp_path, wire.StartSeen(WORKER, began, first.pid)).process == "dead"
    assert fate(tmp_path, wire.StartSeen(WORKER, began, second.pid)).process == "alive"
    assert fate(tmp_path, wire.StartSeen(WORKER, began, 0)).process == "alive"


@pytest.mark.skipif(not system.pid_space(), reason="this system does not name its processes so")
def test_a_child_that_is_gone_is_told_while_its_name_lives_on(hold, tmp_path):
    hold()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert fate(tmp_path, wire.StartSeen(WORKER, now_us(), gone.pid)).process == "dead"


def test_all_who_began_it_must_be_dead(hold, tmp_path):
    first, _ = hold("a" * 32)
    second, _ = hold("c" * 32)
    starts = [wire.StartSeen(WORKER, now_us(), one.pid) for one in (first, second)]
    end(first)
    assert fate(tmp_path, *starts).process == "alive"
    end(second)
    assert fate(tmp_path, *starts).process == "dead"


@pytest.mark.parametrize("worker", ["w2@host", ""])
def test_of_a_worker_that_was_never_here_nothing_is_known(hold, tmp_path, worker):
    hold()
    assert fate(tmp_path, wire.StartSeen(worker, now_us(), 1)).process == ""
    assert fate(None, wire.StartSeen(WORKER, now_us(), 1)).process == ""


def test_a_spoilt_mark_says_nothing(tmp_path):
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / ("a" * 32)).write_bytes(b'{"boot": 1')
    assert fate(tmp_path, wire.StartSeen(WORKER, now_us(), 1)).process == ""


def test_old_marks_of_the_dead_go_and_the_others_stay(hold, tmp_path):
    alive, _ = hold("a" * 32)
    dead, _ = hold("c" * 32)
    end(dead)
    for family in ("a", "c"):
        os.utime(tmp_path / "workers" / (family * 32), (0, time.time() - KEPT_S - 1))
    hold("d" * 32)
    names = {path.name[0] for path in (tmp_path / "workers").iterdir()}
    assert names == {"a", "d"}
    assert alive.poll() is None
