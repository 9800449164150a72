# SPDX-License-Identifier: AGPL-3.0-only
"""What the tests of the agent's core share: a far edge, and agents that are closed again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.far_edge import FarEdge

from queuedeck_agent import connect, guard
from queuedeck_agent.agent import Agent

MakeAgent = Callable[..., Agent]


@pytest.fixture
def edge() -> Iterator[FarEdge]:
    edge = FarEdge()
    edge.start()
    yield edge
    edge.stop()


@pytest.fixture
def make_agent(edge: FarEdge, tmp_path: Path) -> Iterator[MakeAgent]:
    made: list[Agent] = []

    def make(**changes: Any) -> Agent:
        agent = Agent(edge.config(tmp_path / "spool", **changes))
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.stop(flush_s=0.2)


@pytest.fixture(autouse=True)
def no_failures_of_ours() -> Iterator[None]:
    guard.failures.clear()
    yield
    assert not guard.failures


@pytest.fixture
def quick_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "wait_before", lambda attempt, trouble: 0.05)
