# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and Cancel from the page, and their outcome on it."""

import json
import re

import pytest
from tests.support.control import audited
from tests.support.history_events import SOURCE, batch
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, press, record, visitor

from queuedeck.clock import now_us
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.commands.queries import commands_of_task
from queuedeck_agent import wire

ACTIONS = [("t-1", "retries", "retry"), ("t-2", "cancellations", "cancel")]
each_action = pytest.mark.parametrize(("task_id", "noun", "verb"), ACTIONS, ids=["retry", "cancel"])


@pytest.fixture
async def shop(serving, project):
    """A failed and a waiting task, and an agent that could act on both."""
    await record(serving, project, *a_failed_task(), *a_waiting_task())
    connect_agent(serving, project)
    return project


async def asked(serving, project, task_id):
    task = await serving.services.history.find_task(project.id, "celery", task_id)
    return await commands_of_task(serving.services.control, project.id, task.row.key)


def path(project, task_id, noun=""):
    return f"/p/{project.slug}/tasks/celery/{task_id}" + (f"/{noun}" if noun else "")


@each_action
async def test_button_asks_an_agent_and_comes_back(serving, shop, task_id, noun, verb):
    async with visitor(serving, shop, Role.OPERATOR) as bob:
        answer = await press(bob, path(shop, task_id, noun))
        assert (answer.status_code, answer.headers["location"]) == (303, path(shop, task_id))
        page = (await bob.get(path(shop, task_id))).text
    assert [command.verb for command in await asked(serving, shop, task_id)] == [verb]
    assert "asked by operator@shop.example" in page


async def test_button_acts_on_the_task_that_its_page_shows(serving, shop):
    again = wire.TaskPublished(now_us(), SOURCE, "t-1", 1, "shop.capture_payment", "payments")
    await serving.services.history.record([batch([again], lane="b" * 32, project_id=shop.id)])
    older = path(shop, "t-1") + "?generation=1"
    async with visitor(serving, shop) as ann:
        page = (await ann.get(older)).text
        url = re.search(r'action="([^"]+/retries[^"]*)"', page)[1]
        answer = await press(ann, url)
    task = await serving.services.history.find_task(shop.id, "celery", "t-1", 1)
    commands = await commands_of_task(serving.services.control, shop.id, task.row.key)
    assert answer.headers["location"] == f"{path(shop, 't-1')}?key={task.row.key}"
    assert [command.verb for command in commands] == ["retry"]


@each_action
async def test_button_by_htmx_answers_with_a_toast(serving, shop, task_id, noun, verb):
    async with visitor(serving, shop) as ann:
        headers = {"HX-Request": "true", "X-CSRF-Token": ann.csrf}
        answer = await ann.post(path(shop, task_id, noun), headers=headers)
    assert answer.status_code == 204
    events = json.loads(answer.headers["hx-trigger"])
    assert "requested" in events["queuedeck:toast"]["text"]
    assert "queuedeck:refresh" in events


@each_action
async def test_viewer_is_refused(serving, shop, task_id, noun, verb):
    async with visitor(serving, shop, Role.VIEWER) as viewer:
        answer = await press(viewer, path(shop, task_id, noun))
    assert answer.status_code == 403
    assert await asked(serving, shop, task_id) == []


@each_action
async def test_other_projects_do_not_exist(serving, shop, task_id, noun, verb):
    other = await serving.project("Other")
    async with visitor(serving, other) as stranger:
        answer = await press(stranger, path(shop, task_id, noun))
    assert answer.status_code == 404
    assert await asked(serving, shop, task_id) == []


@each_action
async def test_action_is_in_the_audit_log(serving, shop, task_id, noun, verb):
    async with visitor(serving, shop) as ann:
        await press(ann, path(shop, task_id, noun))
        page = (await ann.get(f"/p/{shop.slug}/audit")).text
    assert (f"task.{verb}", "requested") in await audited(serving.services.control, shop.slug)
    assert f"asked for a {'retry' if verb == 'retry' else 'cancellation'}" in page


@each_action
async def test_form_without_the_token_of_the_page_is_refused(serving, shop, task_id, noun, verb):
    async with visitor(serving, shop) as ann:
        answer = await ann.post(path(shop, task_id, noun), data={"csrf_token": "guess"})
    assert answer.status_code == 403
    assert await asked(serving, shop, task_id) == []


async def test_refusal_by_htmx_is_a_toast_that_replaces_nothing(serving, shop):
    async with visitor(serving, shop) as ann:
        headers = {"HX-Request": "true", "X-CSRF-Token": ann.csrf}
        answer = await ann.post(path(shop, "t-2", "retries"), headers=headers)
    assert answer.status_code == 409
    assert answer.headers["hx-reswap"] == "none"
    toast = json.loads(answer.headers["hx-trigger"])["queuedeck:toast"]
    assert "has not ended" in toast["text"]


async def test_command_has_a_partial_of_its_own(serving, shop):
    async with visitor(serving, shop) as ann:
        await press(ann, path(shop, "t-1", "retries"))
        [command] = await asked(serving, shop, "t-1")
        answer = await ann.get(f"/p/{shop.slug}/commands/{command.id}")
        other = await ann.get(f"/p/{shop.slug}/commands/{'0' * 32}")
    assert f'id="command-{command.id}"' in answer.text
    assert "Retry" in answer.text
    assert other.status_code == 404
