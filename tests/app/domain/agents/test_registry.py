# SPDX-License-Identifier: AGPL-3.0-only
"""Who is connected, who was, and what they would do."""

import pytest
from tests.support.commands import SEAL_ID, SOURCE, hello
from tests.support.control import FakeClock

from queuedeck.domain.agents import registry as module
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck_agent import wire

ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def registry(clock):
    return AgentRegistry(clock)


def connect(registry, agent_id=ONE, project_id=1, **changes):
    return registry.connect(project_id, hello(agent_id, **changes), lambda _message: None)


def seen(registry, project_id=1):
    return [(agent.agent_id, agent.connected) for agent in registry.agents(project_id)]


def test_agents_are_seen_in_their_project_only(registry):
    connect(registry)
    assert seen(registry) == [(ONE, True)]
    assert seen(registry, 2) == []
    assert registry.is_empty(2)


def test_agent_that_left_is_kept_for_a_day(registry, clock):
    registry.disconnect(connect(registry))
    assert seen(registry) == [(ONE, False)]
    clock.advance(86_400)
    assert seen(registry) == [(ONE, False)]
    clock.advance(1)
    assert registry.is_empty(1)


def test_connected_agents_come_first(registry):
    registry.disconnect(connect(registry, ONE, host="a"))
    connect(registry, TWO, host="b")
    assert seen(registry) == [(TWO, True), (ONE, False)]


def test_newer_connection_takes_the_place_of_the_older(registry):
    first, second = connect(registry), connect(registry)
    registry.disconnect(first)
    assert registry.connections(1) == [second]
    registry.disconnect(second)
    assert seen(registry) == [(ONE, False)]


def test_agent_that_returns_is_there_once(registry):
    registry.disconnect(connect(registry))
    connect(registry)
    assert seen(registry) == [(ONE, True)]


def test_update_changes_what_the_agent_says(registry):
    connection = connect(registry, allow=("observe",))
    assert registry.can(1, SOURCE, "retry")[0] is False
    registry.update(connection, hello(ONE))
    assert registry.can(1, SOURCE, "retry") == (True, "")


def test_heartbeat_keeps_numbers_and_skew(registry, clock):
    connection = connect(registry)
    clock.advance(10)
    beat = wire.Heartbeat(clock() + 2_000, captured=7)
    registry.heartbeat(connection, beat)
    clock.advance(1)
    registry.heartbeat(connection)
    (agent,) = registry.agents(1)
    assert (agent.heartbeat, agent.clock_skew_us, agent.seen_us) == (beat, 2_000, clock())


def weighs(registry, connection, own, of_children=0):
    beat = wire.Heartbeat(1, rss_bytes=own, children=1, children_rss_bytes=of_children)
    registry.heartbeat(connection, beat)


def test_memory_of_an_hour_is_the_most_of_each_step(registry, clock):
    connection = connect(registry)
    for number in range(1, 41):
        weighs(registry, connection, number, 100)
        weighs(registry, connection, number - 1)
        clock.advance(120)
    (agent,) = registry.agents(1)
    assert [most for _, most in agent.memory] == [number + 100 for number in range(11, 41)]
    assert len({at for at, _ in agent.memory}) == module.MEMORY_STEPS
    assert agent.rss_bytes == 39


def test_memory_that_is_not_told_is_no_point(registry):
    connection = connect(registry)
    registry.heartbeat(connection, wire.Heartbeat(1))
    (agent,) = registry.agents(1)
    assert (agent.memory, agent.rss_bytes) == ((), 0)


def test_one_able_agent_is_enough(registry):
    connect(registry, ONE, allow=("observe",))
    connect(registry, TWO)
    assert registry.can(1, SOURCE, "retry", SEAL_ID) == (True, "")


def test_reason_of_the_engine_is_given(registry):
    ability = wire.Capability("cancel", "none", "Huey drops it only when it comes up.")
    engine = wire.EngineInfo("huey", "3.5", SOURCE, "worker", capabilities=(ability,))
    connect(registry, engines=(engine,))
    able, reason = registry.can(1, SOURCE, "cancel")
    assert not able
    assert reason == "`cancel` is not possible on huey here. Huey drops it only when it comes up."


def test_memory_of_agents_that_left_is_bounded(registry, monkeypatch):
    monkeypatch.setattr(module, "MAX_LEFT", 3)
    for number in range(5):
        registry.disconnect(connect(registry, f"{number:032x}"))
    assert [agent_id[-1] for agent_id, _ in seen(registry)] == ["2", "3", "4"]


def catalogue(*names, doc=""):
    return wire.TaskCatalog(SOURCE, tuple(wire.TaskInfo(name, doc) for name in names))


def test_tasks_of_all_agents_of_a_source_are_known(registry):
    registry.learn(connect(registry), catalogue("pay", "mail"))
    registry.learn(connect(registry, TWO), catalogue("mail", "refund"))
    assert sorted(registry.tasks(1, SOURCE)) == ["mail", "pay", "refund"]
    assert registry.tasks(1, "another") == {}
    assert registry.tasks(2, SOURCE) == {}


def test_what_a_worker_says_of_a_task_goes_before_what_a_sender_says(registry):
    sender = connect(registry)
    sender_engine = wire.EngineInfo("celery", "5.6", SOURCE, "producer")
    registry.update(sender, hello(ONE, engines=(sender_engine,)))
    registry.learn(sender, catalogue("pay", doc="old"))
    registry.learn(connect(registry, TWO), catalogue("pay", doc="new"))
    assert registry.tasks(1, SOURCE)["pay"].doc == "new"


def test_tasks_are_known_after_their_last_agent_left(registry):
    connection = connect(registry)
    registry.learn(connection, catalogue("pay"))
    registry.disconnect(connection)
    assert list(registry.tasks(1, SOURCE)) == ["pay"]


def test_newer_catalogue_replaces_the_older(registry):
    connection = connect(registry)
    registry.learn(connection, catalogue("pay"))
    registry.learn(connection, catalogue("refund"))
    assert list(registry.tasks(1, SOURCE)) == ["refund"]


def test_agents_that_know_the_same_tasks_share_one_catalogue(registry):
    first, second = connect(registry), connect(registry, TWO)
    registry.learn(first, catalogue("pay"))
    registry.learn(second, catalogue("pay"))
    assert second.catalogs[SOURCE] is first.catalogs[SOURCE]
