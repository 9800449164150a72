# SPDX-License-Identifier: AGPL-3.0-only
"""Connecting a worker: the key that is shown once, and the checklist."""

import html
import re

import pytest
from tests.support.control import audited
from tests.support.pages import a_failed_task, connect_agent, press, record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.projects.queries import list_agent_keys
from queuedeck.web.views import checklist


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


def dsn_of(page):
    return html.unescape(re.search(r"QUEUEDECK_DSN='<b>([^<]+)</b>", page)[1])


async def test_key_is_made_by_a_press_and_shown_once(serving, project, ann):
    before = len(await list_agent_keys(serving.services.control, project.id))
    page = (await press(ann, f"/p/{project.slug}/keys")).text
    dsn = dsn_of(page)
    assert dsn.startswith("http://qd_agt_")
    assert serving.url.partition("://")[2] in dsn
    assert len(await list_agent_keys(serving.services.control, project.id)) == before + 1
    assert dsn.partition("seal=")[2] not in (await ann.get(f"/p/{project.slug}/connect")).text


async def test_answer_to_the_question_is_in_the_commands(project, ann):
    page = (await press(ann, f"/p/{project.slug}/keys", allow="observe")).text
    assert 'QUEUEDECK_ALLOW=<b data-mirror="allow">observe</b>' in page


async def test_invented_answer_falls_back_to_the_default(project, ann):
    page = (await press(ann, f"/p/{project.slug}/keys", allow="everything; rm -rf /")).text
    assert 'data-mirror="allow">observe,retry,cancel,pause</b>' in page
    assert "rm -rf" not in page


async def test_sealing_key_of_an_earlier_dsn_is_kept(project, ann):
    first = dsn_of((await press(ann, f"/p/{project.slug}/keys")).text)
    second = dsn_of((await press(ann, f"/p/{project.slug}/keys", from_dsn=first)).text)
    seal = re.compile(r"seal=([^&]+)")
    assert seal.search(first)[1] == seal.search(second)[1]
    assert first.partition("@")[0] != second.partition("@")[0]


async def test_new_sealing_key_says_what_it_cannot_open(project, ann):
    page = (await press(ann, f"/p/{project.slug}/keys")).text
    assert "QUEUEDECK_DSN_PREVIOUS" in page


async def test_wrong_dsn_is_an_error_in_the_form(project, ann):
    answer = await press(ann, f"/p/{project.slug}/keys", from_dsn="https://example.com")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, Role.AUDITOR])
async def test_lesser_role_makes_no_key(serving, project, role):
    before = await list_agent_keys(serving.services.control, project.id)
    async with visitor(serving, project, role) as other:
        assert (await press(other, f"/p/{project.slug}/keys")).status_code == 403
        assert (await other.get(f"/p/{project.slug}/connect")).status_code == 403
    assert await list_agent_keys(serving.services.control, project.id) == before


async def test_other_projects_make_no_key(serving, project):
    other = await serving.project("Other")
    async with visitor(serving, other) as stranger:
        assert (await press(stranger, f"/p/{project.slug}/keys")).status_code == 404


async def test_key_is_in_the_audit_log(serving, project, ann):
    await press(ann, f"/p/{project.slug}/keys")
    entries = await audited(serving.services.control, project.slug)
    assert entries.count(("agent-key.create", "done")) == 2


async def test_every_engine_can_be_picked(project, ann):
    page = (await ann.get(f"/p/{project.slug}/connect")).text
    assert page.count('name="engine"') == 6
    assert " disabled>" not in page
    assert page.count('name="engine" value="celery" checked') == 1
    page = (await press(ann, f"/p/{project.slug}/keys")).text
    assert "<code>huey_consumer app.huey</code>, <code>arq app.WorkerSettings</code>" in page


async def test_checklist_turns_as_things_happen(serving, project, ann):
    url = f"/p/{project.slug}/connect"
    assert (await ann.get(url)).text.count("waiting</time>") == 5
    connect_agent(serving, project)
    page = (await ann.get(url)).text
    assert "Celery 5.6.3, prefork with 4 slots, 1 queue, 1 task" in page
    await record(serving, project, *a_failed_task())
    page = (await ann.get(url)).text
    assert "waiting</time>" not in page
    assert "the original call is sealed" in page.lower()


def test_nobody_after_a_minute_gets_a_diagnosis():
    steps = checklist.checklist([], None, False, 1, "https://deck.example", 62_000_000)
    assert steps[0].command == "queuedeck-agent doctor"
    assert "https://deck.example" in steps[0].text


def test_within_the_minute_it_waits():
    steps = checklist.checklist([], None, False, 1, "https://deck.example", 30_000_000)
    assert steps[0].waiting


async def test_host_that_does_not_allow_retry_is_respected(serving, project, ann):
    connect_agent(serving, project, allow=("observe",))
    page = (await ann.get(f"/p/{project.slug}/connect")).text
    assert "Retry not allowed by the host" in page
