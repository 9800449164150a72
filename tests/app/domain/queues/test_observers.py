# SPDX-License-Identifier: AGPL-3.0-only
"""Of the agents of a source one counts; another does when it is gone or does not."""

import pytest
from tests.support.commands import hello
from tests.support.control import FakeClock

from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.queues.observers import EVERY_S, MAX_NAMES, Observers
from queuedeck.domain.queues.watch import Watches
from queuedeck_agent import wire

ONE, OTHER = "0123456789ab", "ba9876543210"


class Place:
    """A registry with agents that remember what they were asked."""

    def __init__(self):
        self.clock = FakeClock()
        self.registry = AgentRegistry(self.clock)
        self.watches = Watches(self.clock)
        self.observers = Observers(self.registry, self.watches, self.clock)
        self.asked = {}
        self.used = {}

    def connect(self, agent_id, *engines):
        told = self.asked.setdefault(agent_id, [])
        said = hello(agent_id * 32, engines=engines)
        return self.registry.connect(1, said, told.append)

    def counts(self, agent_id, source=ONE, trouble=""):
        snapshot = wire.QueueSnapshot(self.clock(), source, (), trouble)
        self.watches.take(1, agent_id * 32, snapshot)

    def assign(self):
        self.observers.assign(1, self.used)

    def counting(self):
        """Agent -> the sources that it was asked for last."""
        return {
            agent: [watch.source for watch in told[-1].sources]
            for agent, told in self.asked.items()
            if told and told[-1].sources
        }


def engine(source=ONE, role="worker", queues=("mail",), counts=True):
    return wire.EngineInfo("celery", "5.6", source, role, queues=queues, counts=counts)


@pytest.fixture
def place():
    return Place()


def test_one_agent_of_each_source_is_asked_workers_first(place):
    place.connect("1", engine(role="producer", queues=()))
    place.connect("2", engine())
    place.connect("3", engine(), engine(OTHER))
    place.assign()
    assert place.counting() == {"2": [ONE], "3": [OTHER]}


def test_agents_are_told_only_what_is_new(place):
    place.connect("1", engine())
    for _ in range(3):
        place.assign()
        place.clock.advance(2)
        place.counts("1")
    assert place.asked["1"] == [wire.Observe((wire.Watch(ONE, ("mail",)),), EVERY_S)]


def test_all_queues_of_the_source_are_named_within_a_bound(place):
    place.connect("1", engine(queues=("mail",)))
    place.connect("2", engine(queues=("pay",)))
    place.used = {ONE: ["web", "mail", ""]}
    place.assign()
    assert place.asked["1"][-1].sources[0].queues == ("mail", "pay", "web")
    place.used = {ONE: [f"q{number}" for number in range(2 * MAX_NAMES)]}
    place.assign()
    assert len(place.asked["1"][-1].sources[0].queues) == MAX_NAMES


def test_another_agent_is_asked_when_the_connection_is_gone(place):
    first = place.connect("1", engine())
    place.connect("2", engine())
    place.assign()
    place.registry.disconnect(first)
    place.assign()
    assert place.asked["2"][-1].sources[0].source == ONE


def test_same_agent_is_asked_again_on_a_new_connection(place):
    place.registry.disconnect(place.connect("1", engine()))
    place.connect("1", engine())
    place.assign()
    assert len(place.asked["1"]) == 1


@pytest.mark.parametrize("trouble", ["", "refused"], ids=["silent", "in trouble"])
def test_agent_that_does_not_count_hands_over(place, trouble):
    place.connect("1", engine())
    place.connect("2", engine())
    place.assign()
    place.clock.advance(29)
    if trouble:
        place.counts("1", trouble=trouble)
    place.assign()
    assert place.counting() == {"1": [ONE]}
    place.clock.advance(2)
    place.assign()
    assert place.counting() == {"2": [ONE]}
    place.clock.advance(31)
    place.assign()
    assert place.counting() == {"1": [ONE]}


def test_only_agent_is_not_asked_anew_while_it_fails(place):
    place.connect("1", engine())
    place.assign()
    place.clock.advance(600)
    place.assign()
    assert len(place.asked["1"]) == 1


def test_agents_that_cannot_count_are_left_alone(place):
    place.connect("1", engine(counts=False))
    place.assign()
    assert place.asked["1"] == []
