# SPDX-License-Identifier: AGPL-3.0-only
"""Counts over time and failures for programs."""

import pytest
from tests.support.pages import a_failed_task, record

from queuedeck.clock import MINUTE_US


@pytest.fixture
async def client(serving, project):
    token = await serving.token(project)
    headers = {"Authorization": f"Bearer {token}"}
    base = f"/api/v1/projects/{project.slug}"
    async with serving.http(headers=headers) as http:
        http.base = base
        yield http


async def ask(client, path):
    return await client.get(f"{client.base}/{path}")


async def test_trend_has_points_and_a_total(serving, project, client):
    await record(serving, project, *a_failed_task())
    answer = (await ask(client, "trends?range=1h")).json()
    assert len(answer["points"]) == 60
    assert answer["step_us"] == MINUTE_US
    assert (answer["total"]["failed"], answer["total"]["arrived"]) == (1, 1)
    assert answer["total"]["wait"]["n"] == 1


async def test_trend_of_any_time_and_step(serving, project, client):
    now = serving.services.clock()
    query = f"since_us={now - 600 * MINUTE_US}&until_us={now}&step_us={60 * MINUTE_US}"
    await record(serving, project, *a_failed_task())
    answer = (await ask(client, f"trends?{query}&queue=payments")).json()
    assert len(answer["points"]) in (10, 11)
    assert answer["total"]["failed"] == 1


@pytest.mark.parametrize(
    "query", ["step_us=5", "since_us=0&step_us=60000000", "worker=a&task=b", "until_us=5"]
)
async def test_questions_that_cannot_be_answered_are_refused(client, query):
    answer = await ask(client, f"trends?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid"


async def test_names_of_tasks(serving, project, client):
    await record(serving, project, *a_failed_task())
    answer = (await ask(client, "trends/tasks?sort=share")).json()
    assert [task["name"] for task in answer["tasks"]] == ["shop.capture_payment"]
    assert answer["more"] == 0


async def test_errors_and_one_of_them(serving, project, client):
    await record(serving, project, *a_failed_task("t-1"))
    (group,) = (await ask(client, "errors")).json()["errors"]
    assert (group["exception"], group["attempts"]) == ("shop.CardDeclined", 1)
    answer = (await ask(client, f"errors/{group['id']}")).json()
    assert [task["task_id"] for task in answer["tasks"]] == ["t-1"]
    assert answer["sample"]["message"] == "the bank said no"
    assert answer["queues"] == [["payments", 1]]
    assert answer["error"]["fingerprint"] == group["fingerprint"]
    found = (await ask(client, f"tasks?q=group:{group['fingerprint']}")).json()
    assert [task["task_id"] for task in found["tasks"]] == ["t-1"]
    assert (await ask(client, "errors/999")).status_code == 404
