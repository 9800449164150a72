# SPDX-License-Identifier: AGPL-3.0-only
"""The agents page."""

import msgspec
import pytest
from tests.support.pages import connect_agent, visitor

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.permissions import Role
from queuedeck.web.views.agents import agent_view
from queuedeck_agent import wire


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project, Role.VIEWER) as client:
        yield client


async def test_connected_agent_shows_host_engine_queues_and_policy(serving, project, ann):
    connect_agent(serving, project)
    page = (await ann.get(f"/p/{project.slug}/agents")).text
    for text in (
        "pay-3.internal",
        "Celery 5.6.3",
        "prefork, 4 slots",
        "observe, retry",
        "Connected",
    ):
        assert text in page
    assert "1 agent connected" in page


async def test_agent_that_left_is_shown_as_last_seen(serving, project, ann):
    serving.services.registry.disconnect(connect_agent(serving, project))
    assert "Not connected" in (await ann.get(f"/p/{project.slug}/agents")).text


async def test_no_agent_is_an_empty_state(project, ann):
    page = (await ann.get(f"/p/{project.slug}/agents")).text
    assert "No agent has connected within a day" in page
    assert "/connect" not in page


async def test_agents_of_other_projects_are_not_shown(serving, project, ann):
    other = await serving.project("Other")
    connect_agent(serving, other)
    assert "pay-3.internal" not in (await ann.get(f"/p/{project.slug}/agents")).text
    assert (await ann.get(f"/p/{other.slug}/agents")).status_code == 404


@pytest.fixture
def agent(serving, project):
    return connect_agent(serving, project).agent


def test_silent_agent_is_not_called_connected(agent):
    view = agent_view(agent, agent.seen_us + 31 * SECOND_US)
    assert view.word == "Silent"


def test_backlog_losses_and_clock_are_said(agent):
    beat = wire.Heartbeat(0, captured=9, lost=4, backlog_bytes=5_000)
    view = agent_view(
        msgspec.structs.replace(agent, heartbeat=beat, clock_skew_us=-90 * SECOND_US),
        agent.seen_us,
    )
    assert view.backlog == "4.8 KiB"
    assert view.warnings == (
        "4 events dropped because the spool was full.",
        "Its clock is 1 m 30 s behind the server's; times of its tasks are off by that.",
    )


def test_memory_spool_is_a_warning(serving, project):
    agent = connect_agent(serving, project, spool="memory").agent
    assert "in memory only" in agent_view(agent, agent.seen_us).warnings[0]
