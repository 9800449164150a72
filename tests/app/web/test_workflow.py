# SPDX-License-Identifier: AGPL-3.0-only
"""From a task of a workflow to all of it: to see it, to retry what failed, to cancel the rest."""

from urllib.parse import urlsplit

import pytest
from tests.support.pages import a_failed_task, connect_agent, record, visitor

from queuedeck.domain.accounts.permissions import Role


@pytest.fixture
async def child(serving, project):
    connect_agent(serving, project)
    await record(
        serving,
        project,
        *a_failed_task("root"),
        *a_failed_task("c-1", root_id="root", parent_id="root"),
    )
    return f"/p/{project.slug}/tasks/celery/c-1"


async def test_what_failed_of_a_workflow_is_one_operation(serving, project, child):
    async with visitor(serving, project) as ann:
        page = (await ann.get(child)).text
        assert "retry what failed" in page
        link = page.split(">retry what failed<")[0].rpartition('href="')[2].partition('"')[0]
        parts = urlsplit(link.replace("&amp;", "&"))
        preview = (await ann.get(f"{parts.path}?{parts.query}")).text
    assert "root:root" in preview
    assert "Retry 2 tasks" in preview


async def test_task_that_stands_alone_has_no_workflow(serving, project, child):
    async with visitor(serving, project) as ann:
        page = (await ann.get(child.replace("c-1", "root"))).text
    assert "retry what failed" not in page


async def test_who_may_only_look_sees_the_tasks_alone(serving, project, child):
    async with visitor(serving, project, Role.VIEWER) as eve:
        page = (await eve.get(child)).text
    assert "its tasks" in page
    assert "retry what failed" not in page
