# SPDX-License-Identifier: AGPL-3.0-only
"""The storage page: what the project takes, and how long an owner says that it keeps what."""

import pytest
from tests.support.pages import a_failed_task, press, record, visitor

from queuedeck.domain.accounts.permissions import Role


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


async def test_days_and_sizes_are_shown(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/storage")).text
    assert "estimates, made when tasks were written" in page
    assert "no whole day yet" in page
    assert 'data-l="tasks">1</td>' in page


async def test_owner_says_how_long_and_the_audit_log_knows(serving, project, ann):
    url = f"/p/{project.slug}/storage"
    answer = await press(ann, url, task_days="14", payload_days="7", count_days="90")
    assert (answer.status_code, answer.headers["location"]) == (303, url)
    page = (await ann.get(url)).text
    assert 'name="task_days" inputmode="numeric" value="14"' in page
    assert 'name="payload_days" inputmode="numeric" value="7"' in page
    assert 'name="count_days" inputmode="numeric" value="90"' in page
    assert "changed how long tasks are kept" in (await ann.get(f"/p/{project.slug}/audit")).text
    await press(ann, url, task_days="", payload_days="")
    assert 'name="task_days" inputmode="numeric" value=""' in (await ann.get(url)).text


@pytest.mark.parametrize(
    ("tasks", "payloads", "counts", "words"),
    [
        ("2", "", "", "Tasks can be kept for 3 to 30 days here, not 2"),
        ("31", "", "", "Tasks can be kept for 3 to 30 days here, not 31"),
        ("soon", "", "", "Tasks: a whole number of days"),
        ("10", "11", "", "Payloads cannot be kept for longer than their tasks, which is 10 days"),
        ("", "-4", "", "Payloads: a whole number of days"),
        ("", "", "401", "Trends can be kept for 3 to 400 days, not 401"),
    ],
)
async def test_what_cannot_be_kept_to_is_said_and_changes_nothing(
    project, ann, tasks, payloads, counts, words
):
    url = f"/p/{project.slug}/storage"
    chosen = {"task_days": tasks, "payload_days": payloads, "count_days": counts}
    answer = await press(ann, url, **chosen)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{tasks}"' in answer.text
    assert 'name="task_days" inputmode="numeric" value=""' in (await ann.get(url)).text


async def test_only_an_owner_changes_it(serving, project):
    async with visitor(serving, project, Role.ADMIN) as bob:
        url = f"/p/{project.slug}/storage"
        assert "An owner of the project can change this" in (await bob.get(url)).text
        assert (await press(bob, url, task_days="5")).status_code == 403
