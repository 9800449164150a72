# SPDX-License-Identifier: AGPL-3.0-only
"""The page of workers says which of their settings can hurt."""

from tests.support.history_events import SOURCE
from tests.support.pages import connect_agent, visitor

from queuedeck_agent import wire

TEXT = "No time limit: a task that hangs keeps its slot for ever. Set <task_time_limit>."


async def test_settings_that_can_hurt_are_shown_with_their_worker(serving, project):
    engine = wire.EngineInfo("celery", "5.6.3", SOURCE, "worker", "w@host", findings=(TEXT,))
    connect_agent(serving, project, engines=(engine,))
    async with visitor(serving, project) as ann:
        page = (await ann.get(f"/p/{project.slug}/workers")).text
    assert "1 setting to look at" in page
    assert "keeps its slot for ever. Set &lt;task_time_limit&gt;." in page


async def test_worker_without_any_has_no_such_line(serving, project):
    connect_agent(serving, project)
    async with visitor(serving, project) as ann:
        assert "to look at" not in (await ann.get(f"/p/{project.slug}/workers")).text
