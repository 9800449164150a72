# SPDX-License-Identifier: AGPL-3.0-only
"""What a process and its children take, as the kernel says, and what is said where it does not."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.agent.conftest import MakeAgent
from tests.support.far_edge import FarEdge, wait_until

from queuedeck_agent import memory, session

BALLAST = 64 << 20
SLACK = 16 << 20


@pytest.fixture
def heavy_child() -> Iterator[subprocess.Popen[bytes]]:
    """Holds `BALLAST`; has said so when it is given."""
    code = f"import sys; held = b'x' * {BALLAST}; print('held', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.communicate()


def children_of_this() -> int:
    return len(psutil.Process().children())


def test_own_memory_is_what_the_kernel_says() -> None:
    assert abs(memory.used().own - psutil.Process().memory_info().rss) < SLACK


def test_own_memory_grows_with_what_is_held() -> None:
    before = memory.used().own
    held = b"x" * BALLAST
    assert memory.used().own - before > BALLAST - SLACK
    del held


def test_children_are_counted_and_weighed(heavy_child: subprocess.Popen[bytes]) -> None:
    used = memory.used()
    assert used.children == children_of_this()
    assert used.of_children > BALLAST
    heavy_child.kill()
    heavy_child.wait()
    assert memory.used().of_children <= used.of_children - BALLAST


def test_child_of_another_thread_is_counted() -> None:
    started: list[multiprocessing.process.BaseProcess] = []
    forked, done = threading.Event(), threading.Event()
    go_on = multiprocessing.get_context("spawn").Event()

    def fork() -> None:
        started.append(multiprocessing.get_context("spawn").Process(target=go_on.wait))
        started[0].start()
        forked.set()
        done.wait()

    before = memory.used().children
    thread = threading.Thread(target=fork)
    thread.start()
    try:
        assert forked.wait(30)
        assert memory.used().children > before
    finally:
        go_on.set()
        done.set()
        thread.join()
        started[0].join()


def test_system_without_proc_says_nothing(tmp_path: Path) -> None:
    assert memory.used(str(tmp_path / "self")) == memory.Memory(0, -1, 0)


def test_kernel_without_lists_of_children_says_so(tmp_path: Path) -> None:
    proc = tmp_path / "self"
    (proc / "task" / "1").mkdir(parents=True)
    (proc / "statm").write_text("900 25 5 1 0 30 0\n")
    assert memory.used(str(proc)) == memory.Memory(25 * os.sysconf("SC_PAGESIZE"), -1, 0)


def test_child_that_has_just_ended_takes_nothing(tmp_path: Path) -> None:
    proc = tmp_path / "self"
    (proc / "task" / "1").mkdir(parents=True)
    (proc / "statm").write_text("900 25 5 1 0 30 0\n")
    (proc / "task" / "1" / "children").write_text("4711 ")
    assert memory.used(str(proc)) == memory.Memory(25 * os.sysconf("SC_PAGESIZE"), 1, 0)


def test_heartbeat_tells_it(
    make_agent: MakeAgent, edge: FarEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FIRST_BEAT_S", 0.1)
    make_agent(release="v1.8").start_link("worker")
    wait_until(lambda: edge.heartbeats)
    beat = edge.heartbeats[0]
    assert abs(beat.rss_bytes - psutil.Process().memory_info().rss) < SLACK
    assert beat.children >= 0
    assert edge.hellos[0].release == "v1.8"
