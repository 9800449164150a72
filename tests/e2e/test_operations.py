# SPDX-License-Identifier: AGPL-3.0-only
"""Acting on many tasks from the browser, on a real worker: disarmed, tried on a few first, paused,
stopped; the tasks' own log says what ran.

The tests of this file build on each other, in this order.
"""

import re
import time

import pytest
from playwright.sync_api import expect
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_server import eventually, eventually_none

TASKS = 12
EMAIL = "ann@example.com"
SOON_MS = 30_000
FILTER = "state:failed task:e2e.mended"


@pytest.fixture(scope="module")
def failed(worker, tasks, project, broker):
    """Tasks that failed, because of something that can be put right; the same ones in a second
    go."""
    sent = {f"mended-{number}" for number in range(TASKS)}
    if not runs(broker):
        for number in range(TASKS):
            tasks.mended.apply_async((number,), task_id=f"mended-{number}")
    eventually_none(lambda: sent - {task["task_id"] for task in project.api.tasks(FILTER)}, 60)
    return sent


@pytest.fixture(scope="module")
def page(server, project, failed):
    """The browser of somebody who has logged in."""
    made = server.cli("createuser", EMAIL, "--project", project.slug)
    with chromium() as browser, session(browser, server.url) as (context, complaints):
        page = context.new_page()
        page.goto("/login")
        page.fill("[name=email]", EMAIL)
        page.fill("[name=password]", made["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile(r"/p/"))
        complaints.clear()
        yield page
        assert not complaints


def preview(page, project, verb="retry"):
    """All that match the filter, by the boxes and the bar of the list."""
    page.goto(f"/p/{project.slug}/tasks?q={FILTER}")
    expect(page.locator("#rows tr")).to_have_count(TASKS)
    page.locator("[data-bulk-page]").check()
    expect(page.locator("[data-bulk-count]")).to_have_text(f"{TASKS} selected")
    page.locator("[data-bulk-all]").click()
    page.locator(f".bulk button[value={verb}]").click()


def start(page, canary, rate):
    page.fill("[name=canary]", str(canary))
    page.fill("[name=rate]", str(rate))
    page.fill("[name=reason]", "the bank was away")
    page.locator("#confirm .btn.go").click()
    expect(page.locator("#armed")).to_contain_text("Nothing has left yet")


def counts(page, project):
    operation = page.url.rpartition("/")[2]
    return project.api.ask("GET", f"/operations/{operation}")["operation"]["counts"]


def runs(broker):
    return sum(line["what"] == "started" for line in broker.log() if line["name"] == "e2e.mended")


def _again(project, failed):
    """Retries that failed themselves: they match the filter, and are retried in their turn."""
    return {task["task_id"] for task in project.api.tasks(FILTER)} - failed


def test_keys_and_ranges_select_rows(page, project):
    page.goto(f"/p/{project.slug}/tasks?q={FILTER}")
    boxes = page.locator("#rows .chk input")
    boxes.nth(1).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(page.locator("[data-bulk-count]")).to_have_text("3 selected")
    page.locator("#rows a.name").nth(6).focus()
    page.keyboard.press("x")
    expect(page.locator("[data-bulk-count]")).to_have_text("4 selected")
    page.keyboard.press("Escape")
    expect(page.locator(".bulk")).to_be_hidden()


def test_cancel_is_not_offered_for_what_has_ended(page, project):
    page.goto(f"/p/{project.slug}/tasks?q={FILTER}")
    page.locator("#rows .chk input").first.click()
    expect(page.locator(".bulk button[value=retry]")).to_be_enabled()
    cancel = page.locator(".bulk button[value=cancel]")
    expect(cancel).to_be_disabled()
    expect(cancel).to_have_attribute("title", "All of the selected tasks have ended.")


def test_disarmed_operation_sends_nothing(page, project, broker):
    before = runs(broker)
    preview(page, project)
    expect(page.locator("h1")).to_have_text(f"Retry {TASKS} tasks")
    start(page, 0, 50)
    page.get_by_role("button", name="Disarm").click()
    expect(page.locator("main .state.pill")).to_have_text("Disarmed", timeout=SOON_MS)
    time.sleep(11)
    assert runs(broker) == before == TASKS
    assert counts(page, project)["stopped"] == TASKS


def test_first_tasks_that_fail_again_hold_up_the_rest(page, project, broker):
    preview(page, project)
    start(page, 3, 2)
    expect(page.locator("main .state.pill")).to_have_text("Paused", timeout=2 * SOON_MS)
    expect(page.locator("#note")).to_contain_text("Only 0 of the first 3 went well")
    assert runs(broker) == TASKS + 3
    assert (counts(page, project)["done"], counts(page, project)["waiting"]) == (3, TASKS - 3)


def test_pause_holds_and_stop_ends(page, project, broker):
    """Goes on from the operation that the test before has left paused."""
    broker.client.set(f"{broker.prefix}mended", 1)
    page.get_by_role("button", name="Go on anyway").click()
    eventually(lambda: counts(page, project)["done"] >= 5, 30)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("main .state.pill")).to_have_text("Paused", timeout=SOON_MS)
    eventually(lambda: counts(page, project)["open"] == 0)
    held = counts(page, project)
    time.sleep(3)
    assert counts(page, project) == held
    assert held["waiting"] > 0
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("main .state.pill")).to_have_text("Stopped", timeout=SOON_MS)
    ended = counts(page, project)
    assert (ended["stopped"], sum(ended.values())) == (held["waiting"], TASKS)
    eventually(lambda: runs(broker) == TASKS + ended["done"])


def test_rest_is_retried_and_succeeds(page, project, broker, failed):
    """What was retried already is passed over, so each task ends well once."""
    page.goto(f"/p/{project.slug}/operations/preview?verb=retry&q={FILTER}")
    expect(page.locator("#skips")).to_contain_text("It was retried already")
    start(page, 0, 50)
    expect(page.locator("main .state.pill")).to_have_text("Finished", timeout=2 * SOON_MS)
    succeeded = "task:e2e.mended state:succeeded"
    eventually(lambda: len(project.api.tasks(succeeded)) == TASKS)
    retried = [task["retry_of"] for task in project.api.tasks(succeeded)]
    assert len(set(retried)) == TASKS
    assert set(retried) - failed <= _again(project, failed)
    actions = [entry["action"] for entry in project.api.audit()]
    assert actions.count("operation.end") >= 3
    assert "operation.stop" in actions
