# SPDX-License-Identifier: AGPL-3.0-only
"""A version of an engine that nobody has tested: watched, with a warning, and left alone."""

import logging

import pytest
from msgspec import structs
from tests.agent.conftest import MakeAgent
from tests.agent.test_runner import FakeEngine, Host
from tests.support.far_edge import FarEdge

from queuedeck_agent import wire
from queuedeck_agent.engines.versions import within


class Newer(FakeEngine):
    supports = ">=5.3,<5.8"
    version = "6.0.1"

    def info(self) -> wire.EngineInfo:
        return structs.replace(super().info(), capabilities=self.capabilities())


@pytest.mark.parametrize(
    ("version", "supports", "expected"),
    [
        ("5.6.3", ">=5.6,<5.7", True),
        ("5.6", ">=5.6.0,<5.7", True),
        ("5.7.0", ">=5.6,<5.7", False),
        ("5.10", ">=5.6,<5.7", False),
        ("5.10", ">=5.9", True),
        ("5.7.0rc1", ">=5.6,<5.7", False),
        ("5.7.0rc1", ">=5.7", True),
        ("2.5.2", ">=2.5.3,<4", False),
        ("3.99", ">=2.5.3,<4", True),
        ("4", ">=2.5.3,<4", False),
        ("anything", "", True),
        ("", ">=1", False),
    ],
)
def test_range_of_versions(version: str, supports: str, expected: bool) -> None:
    assert within(version, supports) is expected


def test_version_that_was_not_tested_is_only_observed(
    edge: FarEdge, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.agent.test_runner.FakeEngine", Newer)
    host = Host(edge, make_agent(allow_tasks=("shop.*",)))
    ((engine,), warnings) = (host.hello.engines, host.hello.warnings)
    assert (engine.version, [one.how for one in engine.capabilities]) == ("5.6", ["none"])
    assert any("6.0.1" in one for one in warnings)
    host.edge.send_command(host.body())
    failure = host.failure()
    assert (failure.code, "celery >=5.3,<5.8" in failure.message) == ("unsupported", True)
    assert host.engine.calls == []


def test_version_that_was_not_tested_is_said_once(
    make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    agent = make_agent()
    with caplog.at_level(logging.WARNING, "queuedeck_agent"):
        for _ in range(3):
            agent.register(Newer())
    assert [one.levelname for one in caplog.records if "6.0.1" in one.message] == ["WARNING"]
