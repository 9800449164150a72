# SPDX-License-Identifier: AGPL-3.0-only
"""Nothing that a worker reports becomes markup."""

import json

import pytest
from tests.support.history_events import NOW_US, SOURCE, source_seen
from tests.support.pages import connect_agent, record, visitor

from queuedeck.web import urls
from queuedeck_agent import wire

CORPUS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<hx-partial hx-target='body'>x</hx-partial>",
    "</textarea><form action=//evil>",
    "\u202egpj.exe <b>",
]
FORBIDDEN = ("<script>alert", "<img src=x", "<svg/onload", "<hx-partial", "<form action=//", "<b> ")


def evil_task(text, task_id):
    args = json.dumps({"args": [text], "kwargs": {text: {text: [text]}}}).encode()
    trace = f'  File "{text}", line 1, in {text}\n    {text}\n'
    return (
        wire.TaskPublished(NOW_US, SOURCE, task_id, 1, text, text, args, origin=text,
                           schedule=text, group_id=text, parent_id=text, routing_key=text,
                           route=text, user=text),
        wire.TaskStarted(NOW_US + 1, SOURCE, task_id, 1, text, text, release=text),
        wire.TaskFailed(NOW_US + 2, SOURCE, task_id, 1, text, text, trace, 5),
    )  # fmt: skip


@pytest.mark.parametrize("text", CORPUS)
async def test_names_arguments_queues_and_tracebacks_are_text(serving, project, text):
    await record(serving, project, *evil_task(text, text))
    async with visitor(serving, project) as ann:
        listed = await ann.get(f"/p/{project.slug}/tasks")
        shown = await ann.get(urls.task(project.slug, "celery", text))
        searched = await ann.get(f"/p/{project.slug}/tasks", params={"q": text})
    assert shown.status_code == 200
    for page in (listed.text, shown.text, searched.text):
        assert not [mark for mark in FORBIDDEN if mark in page]
        assert 'href="javascript:' not in page
        assert " onmouseover=" not in page.replace(" onmouseover=&#39;", "")


async def test_source_name_of_an_agent_is_text(serving, project):
    seen = source_seen()
    await record(serving, project, seen, *evil_task("<i>x</i>", "t-1"))
    async with visitor(serving, project) as ann:
        page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert "<i>x</i>" not in page


async def test_what_an_agent_says_about_itself_is_text(serving, project):
    evil = "<script>alert(1)</script>"
    engine = wire.EngineInfo("celery", evil, SOURCE, evil, evil, evil, 1, (evil,), (), (evil,))
    connect_agent(serving, project, warnings=(evil,), allow=(evil,), engines=(engine,), python=evil)
    async with visitor(serving, project) as ann:
        for page in ("agents", "connect"):
            assert "<script>alert" not in (await ann.get(f"/p/{project.slug}/{page}")).text


async def test_pages_hold_no_inline_script_or_style(serving, project):
    await record(serving, project, *evil_task("x", "t-1"))
    connect_agent(serving, project)
    async with visitor(serving, project) as ann:
        for path in ("tasks", "tasks/celery/t-1", "agents", "audit", "connect"):
            page = (await ann.get(f"/p/{project.slug}/{path}")).text
            assert " style=" not in page
            assert "<style" not in page
            assert "hx-on" not in page
            assert "<script>" not in page
