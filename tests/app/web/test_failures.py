# SPDX-License-Identifier: AGPL-3.0-only
"""The pages of errors."""

import html
import re

import msgspec
import pytest
from tests.support.history_events import succeeded
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, record, visitor


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


async def group_of(serving, project):
    found = await serving.services.history.failure_groups(project.id, "last", 0, 1)
    return found.groups[0].id


async def test_failures_that_are_the_same_are_one_line(serving, project, ann):
    await record(serving, project, *a_failed_task("a"), *a_failed_task("b"))
    page = (await ann.get(f"/p/{project.slug}/errors")).text
    assert "1 kind of failure" in page
    assert "<b>CardDeclined</b>" in page
    assert "the bank said no" in page
    assert 'data-l="attempts">2</td>' in page
    assert "2 attempts in the last 24 hours" in page


async def test_page_says_when_nothing_failed(serving, project, ann):
    await record(serving, project, *a_waiting_task())
    page = (await ann.get(f"/p/{project.slug}/errors?range=all")).text
    assert "Nothing has failed yet" in page
    assert "Nothing failed in this time" in (await ann.get(f"/p/{project.slug}/errors")).text


async def test_one_group_shows_counts_sample_and_tasks(serving, project, ann):
    await record(serving, project, *a_failed_task("t-1"))
    page = (await ann.get(f"/p/{project.slug}/errors/{await group_of(serving, project)}")).text
    assert "attempt 1 of the newest task" in page
    (found,) = (await serving.services.history.failure_groups(project.id, "last", 0, 1)).groups
    assert f'href="/p/{project.slug}/tasks?q=group:{found.fingerprint}"' in page
    assert "shop.capture_payment" in page
    assert '<tr id="t-' in page


async def test_retry_of_a_group_is_of_its_tasks_only(serving, project, ann):
    bad = a_failed_task("here")
    elsewhere = msgspec.structs.replace(a_failed_task("there")[-1], message="another cause")
    await record(serving, project, *bad, *a_failed_task("there")[:-1], elsewhere)
    connect_agent(serving, project)
    found = await serving.services.history.failure_groups(project.id, "last", 0, 9)
    group = next(one for one in found.groups if one.message == "another cause")
    page = (await ann.get(f"/p/{project.slug}/errors/{group.id}")).text
    url = re.search(r'href="([^"]*/operations/preview[^"]*)"', page).group(1)
    preview = (await ann.get(html.unescape(url))).text
    assert f"group:{group.fingerprint}" in preview
    shown = (
        await ann.get(f"/p/{project.slug}/tasks?q=state:failed+group:{group.fingerprint}")
    ).text
    assert "/tasks/celery/there" in shown
    assert "/tasks/celery/here" not in shown


async def test_recovered_tasks_are_a_share(serving, project, ann):
    await record(serving, project, *a_failed_task("a"), *a_failed_task("b"))
    await record(serving, project, succeeded("a", 2_000_000, attempt=2), lane="b" * 32)
    page = (await ann.get(f"/p/{project.slug}/errors")).text
    assert 'data-l="recovered">50\u202f%</td>' in page


async def test_messages_are_text_and_not_markup(serving, project, ann):
    bad = a_failed_task("x")[-1]
    await record(serving, project, msgspec.structs.replace(bad, message="<script>alert(1)"))
    for url in ("errors", f"errors/{await group_of(serving, project)}"):
        page = (await ann.get(f"/p/{project.slug}/{url}")).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


async def test_other_projects_have_none(serving, project, ann):
    await record(serving, project, *a_failed_task())
    group = await group_of(serving, project)
    other = await serving.project("Other")
    assert (await ann.get(f"/p/{other.slug}/errors/{group}")).status_code == 404
    async with visitor(serving, other) as bob:
        assert (await bob.get(f"/p/{other.slug}/errors/{group}")).status_code == 404
        assert (await bob.get(f"/p/{project.slug}/errors/{group}")).status_code == 404


async def test_unknown_range_is_refused(project, ann):
    assert (await ann.get(f"/p/{project.slug}/errors?range=9y")).status_code == 422


async def test_page_of_a_task_links_its_error_and_says_what_is_usual(serving, project, ann):
    await record(serving, project, *a_failed_task("t-1"), *a_failed_task("t-2"))
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    group = await group_of(serving, project)
    assert f'href="/p/{project.slug}/errors/{group}">Same error 2 times in 24 h</a>' in page
    (found,) = (await serving.services.history.failure_groups(project.id, "last", 0, 1)).groups
    assert f'href="/p/{project.slug}/tasks?q=group:{found.fingerprint}">Its tasks</a>' in page
    assert ">p95 8" in page  # The wait of 840 ms, read back from its bucket.


async def test_page_of_a_task_that_went_well_names_no_error(serving, project, ann):
    await record(serving, project, *a_waiting_task("t-3"))
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-3")).text
    assert "Same error" not in page
