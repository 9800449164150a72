# SPDX-License-Identifier: AGPL-3.0-only
"""The stream of topics."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from tests.support.pages import visitor

from queuedeck.web import live


@asynccontextmanager
async def listening(client, project):
    """The lines of a stream that has begun."""
    async with asyncio.timeout(5), client.stream("GET", f"/live?project={project.slug}") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert await until(lines, ": connected")
        yield lines


async def until(lines, wanted):
    """The next line that contains this; None when the stream ends before."""
    return await anext((line async for line in lines if wanted in line), None)


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


async def test_topics_of_the_project_arrive_as_one_event(serving, project, ann):
    async with listening(ann, project) as lines:
        serving.services.live.publish(project.id, ("tasks", "task:celery:a\nb"))
        line = await until(lines, "data:")
    assert json.loads(line.removeprefix("data: ")) == ["task:celery:a\nb", "tasks"]


async def test_topics_of_other_projects_do_not(serving, project, ann):
    other = await serving.project("Other")
    async with listening(ann, project) as lines:
        serving.services.live.publish(other.id, ("audit",))
        serving.services.live.publish(project.id, ("tasks",))
        assert await until(lines, "data:") == 'data: ["tasks"]'


async def test_stream_ends_when_the_server_stops(serving, project, ann):
    async with listening(ann, project) as lines:
        serving.services.live.stop()
        assert await until(lines, "data") is None


async def test_stream_ends_when_the_session_is_over(serving, project, ann, monkeypatch):
    monkeypatch.setattr(live, "CHECK_US", 0)
    monkeypatch.setattr(live, "PING_S", 0.05)
    async with listening(ann, project) as lines:
        await until(lines, ": ping")
        await ann.post("/logout", data={"csrf_token": ann.csrf})
        assert await until(lines, "data") is None


async def test_foreign_project_and_nobody_get_no_stream(serving, project, ann):
    other = await serving.project("Other")
    assert (await ann.get(f"/live?project={other.slug}")).status_code == 404
    async with serving.http() as nobody:
        assert (await nobody.get(f"/live?project={project.slug}")).status_code == 303


def test_silence_is_a_comment_line():
    assert live.message(frozenset()) == b": ping\n\n"


def test_very_many_tasks_become_one_topic():
    topics = frozenset({"tasks", *(f"task:celery:{n}" for n in range(live.MAX_TASK_TOPICS + 1))})
    assert live.message(topics) == b'event: topics\ndata: ["task:*", "tasks"]\n\n'
