# SPDX-License-Identifier: AGPL-3.0-only
"""One agent for a process, whoever asks for it first."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.far_edge import FarEdge

from queuedeck_agent import agent as agents


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "_current", None)


def test_threads_that_start_it_together_get_the_same_one(edge: FarEdge, tmp_path: Path) -> None:
    together = threading.Barrier(8)
    config = edge.config(tmp_path / "spool")

    def start(_: int) -> agents.Agent:
        together.wait(10)
        return agents.start(config)

    with ThreadPoolExecutor(8) as pool:
        started = set(pool.map(start, range(8)))
    for one in started:
        one.stop(flush_s=0)
    assert len(started) == 1


def test_lock_that_a_fork_left_behind_is_not_waited_for(
    edge: FarEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = threading.Lock()
    left.acquire()
    monkeypatch.setattr(agents, "_starting", left)
    monkeypatch.setattr(agents, "_PATIENCE_S", 0.01)
    started = agents.start(edge.config(tmp_path / "spool"))
    started.stop(flush_s=0)
    assert agents.current() is started
