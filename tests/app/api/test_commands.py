# SPDX-License-Identifier: AGPL-3.0-only
"""Retries and cancellations that programs ask for."""

from contextlib import asynccontextmanager

import pytest
from tests.support.control import audited
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, record

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.commands.queries import commands_of_task

ACTIONS = [("t-1", "retries", "retry"), ("t-2", "cancellations", "cancel")]
each_action = pytest.mark.parametrize(("task_id", "noun", "verb"), ACTIONS, ids=["retry", "cancel"])


@pytest.fixture
async def shop(serving, project):
    """A failed and a waiting task, and an agent that could act on both."""
    await record(serving, project, *a_failed_task(), *a_waiting_task())
    connect_agent(serving, project)
    return project


@asynccontextmanager
async def program(serving, project, role=Role.OPERATOR, of=None):
    """A client of the project's API, with a token of it or of another one."""
    headers = {"Authorization": f"Bearer {await serving.token(of or project, role)}"}
    async with serving.http(headers=headers) as client:
        client.base_url = f"{serving.url}/api/v1/projects/{project.slug}"
        yield client


async def asked(serving, project, task_id):
    task = await serving.services.history.find_task(project.id, "celery", task_id)
    return await commands_of_task(serving.services.control, project.id, task.row.key)


@each_action
async def test_command_is_asked_for_and_can_be_looked_at(serving, shop, task_id, noun, verb):
    async with program(serving, shop) as client:
        answer = await client.post(f"/tasks/celery/{task_id}/{noun}")
        command = answer.json()["command"]
        seen = (await client.get(f"/commands/{command['id']}")).json()["command"]
    assert (answer.status_code, command["state"]) == (202, "pending")
    assert (seen["id"], seen["verb"], seen["task_id"]) == (command["id"], verb, task_id)


@each_action
async def test_viewer_is_refused(serving, shop, task_id, noun, verb):
    async with program(serving, shop, Role.VIEWER) as client:
        answer = await client.post(f"/tasks/celery/{task_id}/{noun}")
    assert answer.status_code == 403
    assert await asked(serving, shop, task_id) == []


@each_action
async def test_other_projects_do_not_exist(serving, shop, task_id, noun, verb):
    other = await serving.project("Other")
    async with program(serving, shop, of=other) as stranger:
        answer = await stranger.post(f"/tasks/celery/{task_id}/{noun}")
    assert answer.status_code == 404
    assert await asked(serving, shop, task_id) == []


@each_action
async def test_command_is_in_the_audit_log(serving, shop, task_id, noun, verb):
    async with program(serving, shop) as client:
        await client.post(f"/tasks/celery/{task_id}/{noun}")
    assert (f"task.{verb}", "requested") in await audited(serving.services.control, shop.slug)


@each_action
async def test_key_that_the_id_does_not_have_is_not_found(serving, shop, task_id, noun, verb):
    async with program(serving, shop) as client:
        answer = await client.post(f"/tasks/celery/{task_id}/{noun}?key=2")
    assert answer.status_code == 404
    assert await asked(serving, shop, task_id) == []


async def test_retry_can_be_for_later(serving, shop):
    at_us = serving.services.clock() + 600_000_000
    async with program(serving, shop) as client:
        answer = await client.post(f"/tasks/celery/t-1/retries?at_us={at_us}")
    assert answer.status_code == 202
    [command] = await asked(serving, shop, "t-1")
    assert 590 < command.details.delay_s <= 600
