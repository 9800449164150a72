# SPDX-License-Identifier: AGPL-3.0-only
"""The page of the rules, the form with its preview, and where labels and marks are shown."""

import re

import msgspec
import pytest
from tests.support.history_events import NOW_US, SOURCE, source_seen
from tests.support.pages import moved, press, visitor

from queuedeck.clock import now_us
from queuedeck.domain.accounts.permissions import Role
from queuedeck_agent import wire

LABEL = {"pattern": "app.work", "template": "{kwargs.job} for {args.0}"}
MARK = {"pattern": "app.*", "test": "equals", "path": "status", "value": "error", "title": "sad"}


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        client.home = f"/p/{project.slug}/labels"
        yield client


class Worker:
    """Sends tasks the way agents do: through ingest, which asks the rules."""

    def __init__(self, serving, project):
        self._ingest = serving.services.ingest
        self._project = project.id
        self._last = 0

    async def ran(self, task_id, job, result=b'{"status":"ok"}', name="app.work"):
        args = msgspec.json.encode({"args": ["<b>Ann</b>"], "kwargs": {"job": job}})
        await self.sent(
            source_seen(),
            wire.TaskStarted(NOW_US, SOURCE, task_id, 1, name, "w1", args=args),
            wire.TaskSucceeded(NOW_US + 5, SOURCE, task_id, 1, 5, result, name, "w1"),
        )

    async def sent(self, *events):
        shift = now_us() - NOW_US - 60_000_000
        raw = [msgspec.Raw(wire.encode(moved(event, shift))) for event in events]
        self._last += len(raw)
        await self._ingest.submit(self._project, "agent", wire.LanePart("a" * 32, self._last, raw))


@pytest.fixture
def worker(serving, project):
    return Worker(serving, project)


async def test_rules_name_and_mark_what_comes_and_pages_show_it(project, ann, worker):
    for kind, fields in (("label", LABEL), ("mark", MARK)):
        answer = await press(ann, f"{ann.home}/{kind}", **fields)
        assert (answer.status_code, answer.headers["location"]) == (303, ann.home)
    await worker.ran("t-1", "import", b'{"status":"error"}')
    tasks = (await ann.get(f"/p/{project.slug}/tasks?q=label:import*")).text
    assert '<span class="label">import for &lt;b&gt;Ann&lt;/b&gt;</span>' in tasks
    assert re.search(r'class="marked"[^>]*>.*?sad</span>', tasks, re.S)
    assert "Succeeded" in tasks
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert "import for &lt;b&gt;Ann" in page
    assert "its result says so" in page
    facets = (await ann.get(f"/p/{project.slug}/tasks/facets?q=")).text
    assert 'id="facet-label-import for &lt;b&gt;Ann&lt;/b&gt;"' in facets
    assert "t-1" not in (await ann.get(f"/p/{project.slug}/tasks?q=marked:no")).text


async def test_form_shows_where_a_rule_is_wrong_and_keeps_what_was_typed(ann):
    answer = await press(ann, f"{ann.home}/label", pattern="app.work", template="for {job} <i>")
    assert answer.status_code == 422
    assert "<mark>job</mark>} &lt;i&gt;" in answer.text
    assert "is no place" in answer.text
    assert 'value="for {job} &lt;i&gt;"' in answer.text
    assert "None of your own" in (await ann.get(ann.home)).text


async def test_rule_is_edited_moved_and_deleted(ann):
    for name in ("first", "second"):
        await press(ann, f"{ann.home}/label", pattern=name, template="{args.0}")
    page = (await ann.get(ann.home)).text
    assert page.index(">first<") < page.index(">second<")
    first, second = re.findall(r'id="rule-(\d+)"', page)
    await press(ann, f"{ann.home}/{second}/moves", to="0")
    page = (await ann.get(ann.home)).text
    assert page.index(">second<") < page.index(">first<")
    assert 'value="second"' in (await ann.get(f"{ann.home}/{second}")).text
    await press(ann, f"{ann.home}/{second}", pattern="other", template="{args.1}")
    await press(ann, f"{ann.home}/{first}/deletions")
    page = (await ann.get(ann.home)).text
    assert ">other<" in page
    assert ">first<" not in page
    assert ">second<" not in page


async def test_shipped_rules_are_shown_and_switched(ann, worker, project):
    assert "celery.chord_unlock" in (await ann.get(ann.home)).text
    await press(ann, f"{ann.home}/defaults", on="0")
    await worker.ran("t-1", "import", name="app.run_job")
    await press(ann, f"{ann.home}/defaults", on="1")
    await worker.ran("t-2", "import", name="app.run_job")
    page = (await ann.get(f"/p/{project.slug}/tasks?q=label:import")).text
    assert "t-2" in page
    assert "t-1" not in page


async def test_preview_says_what_the_last_tasks_would_yield(ann, worker):
    for number in range(60):
        await worker.ran(f"t-{number}", f"job{number % 2}")
    url = f"{ann.home}/preview?kind=label&pattern=app.work&template={{kwargs.job}}"
    page = (await ann.get(url)).text
    assert "Of the last 50 tasks of this name, 50 would have a label." in page
    assert page.count('class="label"') == 2
    marks = (
        await ann.get(f"{ann.home}/preview?kind=mark&pattern=app.*&test=exists&path=error")
    ).text
    assert "Of the last 50 successes of these names, 0 would be marked." in marks
    wrong = (await ann.get(f"{ann.home}/preview?kind=label&pattern=app.work&template={{job}}")).text
    assert "is no place" in wrong
    none = (await ann.get(f"{ann.home}/preview?kind=label&pattern=no&template={{args.0}}")).text
    assert "nothing to try" in none


async def test_preview_keeps_nothing(ann, worker, project):
    await worker.ran("t-1", "import")
    await ann.get(f"{ann.home}/preview?kind=label&pattern=app.work&template={{kwargs.job}}")
    await worker.ran("t-2", "import")
    assert "t-2" not in (await ann.get(f"/p/{project.slug}/tasks?q=label:*")).text


async def test_changes_are_in_the_audit_log_in_words(ann, project):
    await press(ann, f"{ann.home}/label", **LABEL)
    page = (await ann.get(f"/p/{project.slug}/audit")).text
    assert "made a rule of labels" in page
    assert "{kwargs.job} for {args.0}" in page


async def test_viewer_sees_rules_and_no_way_to_change_them(serving, project, ann):
    await press(ann, f"{ann.home}/label", **LABEL)
    async with visitor(serving, project, Role.OPERATOR) as bob:
        page = (await bob.get(ann.home)).text
        assert "app.work" in page
        assert "New label rule" not in page
        assert "Edit" not in page
        assert (await press(bob, f"{ann.home}/label", **LABEL)).status_code == 403


async def test_open_page_hears_of_a_change(serving, project, ann):
    version = serving.services.live.version(project.id)
    await press(ann, f"{ann.home}/label", **LABEL)
    assert serving.services.live.version(project.id) > version
