# SPDX-License-Identifier: AGPL-3.0-only
"""Agents are asked for the queues that tasks were in, and what they counted outlives the server."""

from tests.support.history_events import SOURCE
from tests.support.pages import a_waiting_task, connect_agent, record

from queuedeck.domain.queues.watch import Watches
from queuedeck.loops.observe_queues import ObserveQueues, keep_depths
from queuedeck_agent import wire


async def test_connected_agent_is_asked_for_queues_that_no_worker_consumes(serving, project):
    await record(serving, project, *a_waiting_task())
    engine = wire.EngineInfo("celery", "5.6.3", SOURCE, "producer", counts=True)
    connection = connect_agent(serving, project, engines=(engine,))
    asked = []
    connection.send = asked.append
    loop = ObserveQueues(serving.services)
    await loop.round()
    await loop.round()
    assert [order.sources for order in asked] == [(wire.Watch(SOURCE, ("emails",)),)]


async def test_minutes_outlive_the_server(serving, project):
    services = serving.services
    snapshot = wire.QueueSnapshot(services.clock(), SOURCE, (wire.QueueDepth("emails", 7),))
    services.watches.take(project.id, "c" * 32, snapshot)
    await keep_depths(services)
    later = Watches(services.clock)
    later.restore(await services.history.load_queue_hours(services.clock() - 3_600_000_000))
    assert 7 in later.series(project.id, (SOURCE, "emails"))[-2:]
