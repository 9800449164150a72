# SPDX-License-Identifier: AGPL-3.0-only
"""The tasks that an agent tells of, on a running server."""

import pytest
from tests.support.links import SOURCE, Agent, a_hello, an_engine, link_to
from tests.support.serving import eventually
from websockets.exceptions import ConnectionClosed

from queuedeck_agent import wire


@pytest.fixture
async def agent(serving, project):
    """An agent of a Celery source, welcomed."""
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(a_hello(engines=(an_engine("submit"),)))
        yield agent


async def test_tasks_are_known_by_source(serving, project, agent):
    await agent.send(wire.TaskCatalog(SOURCE, (wire.TaskInfo("shop.add", "Adds."),)))
    await eventually(lambda: serving.services.registry.tasks(project.id, SOURCE))
    assert serving.services.registry.tasks(project.id, SOURCE)["shop.add"].doc == "Adds."


async def test_catalogue_of_a_source_that_the_agent_does_not_serve_is_ignored(
    serving, project, agent
):
    await agent.send(wire.TaskCatalog("ffffffffffff", (wire.TaskInfo("evil"),)))
    await agent.send(wire.TaskCatalog(SOURCE, (wire.TaskInfo("shop.add"),)))
    await eventually(lambda: serving.services.registry.tasks(project.id, SOURCE))
    assert serving.services.registry.tasks(project.id, "ffffffffffff") == {}


PARAMETERS = tuple(wire.Parameter(f"p{number}", "either") for number in range(101))


@pytest.mark.parametrize(
    "tasks",
    [
        tuple(wire.TaskInfo(f"t{number}") for number in range(1_001)),
        (wire.TaskInfo("t", "x" * 2_001),),
        (wire.TaskInfo("t", parameters=PARAMETERS),),
    ],
    ids=["tasks", "text", "parameters"],
)
async def test_catalogue_beyond_its_bounds_closes_its_link(agent, tasks):
    await agent.send(wire.TaskCatalog(SOURCE, tasks))
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await agent.next()
    assert caught.value.rcvd.code == 4400
