# SPDX-License-Identifier: AGPL-3.0-only
"""The web request that published a task, on the task's page and in the API."""

import pytest
from tests.support.history_events import published, started
from tests.support.pages import record, visitor


@pytest.fixture
async def task(serving, project):
    """A task that a request published, and that a worker published again for its second attempt."""
    await record(
        serving,
        project,
        published("t-1", route="POST /orders/{order_id}", user="ann-7"),
        started("t-1"),
        published("t-1", 5, attempt=2),
    )
    return "t-1"


async def test_page_names_the_request_and_its_user(serving, project, task):
    async with visitor(serving, project) as ann:
        page = (await ann.get(f"/p/{project.slug}/tasks/celery/{task}")).text
    assert "POST /orders/{order_id}" in page
    assert "ann-7" in page


async def test_api_names_the_request_and_its_user(serving, project, task):
    headers = {"Authorization": f"Bearer {await serving.token(project)}"}
    async with serving.http(headers=headers) as client:
        found = await client.get(f"/api/v1/projects/{project.slug}/tasks/celery/{task}")
    assert (found.json()["route"], found.json()["user"]) == ("POST /orders/{order_id}", "ann-7")
