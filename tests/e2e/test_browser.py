# SPDX-License-Identifier: AGPL-3.0-only
"""The main job in headless Chromium: from the first link to a retried task in the audit log.

The tests of this file build on each other, in this order, as a person's first ten minutes do.
"""

import re

import pytest
from playwright.sync_api import expect
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_server import Server, eventually
from tests.support.e2e_worker import start_worker

EMAIL = "ann@example.com"
PASSWORD = "four words will do"
TABS = 8
LIVE_MS = 15_000


@pytest.fixture(scope="module")
def server(folder):
    """A server that nobody has set up."""
    server = Server(folder).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def visit(browser, server):
    """(page, complaints) of one person's browser."""
    with session(browser, server.url) as (context, complaints):
        yield context.new_page(), complaints


@pytest.fixture(scope="module")
def page(visit):
    return visit[0]


@pytest.fixture
def complaints(visit):
    """What went wrong in the browser during this test."""
    _, complaints = visit
    complaints.clear()
    return complaints


@pytest.fixture(scope="module")
def connected(page, folder, broker):
    """A worker, started with what the connect page shows."""
    page.goto("/p/default/connect")
    page.get_by_role("button", name="Make a key and show the commands").click()
    command = page.locator("#key pre", has_text="QUEUEDECK_DSN").inner_text()
    dsn = re.search(r"QUEUEDECK_DSN='(.+?)'", command).group(1)
    allow = re.search(r"QUEUEDECK_ALLOW=(\S+)", command).group(1)
    worker = start_worker(folder, broker, dsn, environment={"QUEUEDECK_ALLOW": allow})
    yield worker
    worker.stop()


def test_setup_link_makes_the_first_account(page, server, complaints):
    link = eventually(lambda: re.search(r"http://\S+/setup/\S+", server.log.read_text())).group()
    page.goto(link)
    page.get_by_label("Your name").fill("Ann")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    expect(page).to_have_url(re.compile("/p/default/connect$"))
    assert complaints == []


def test_account_logs_out_and_in(page, complaints):
    page.locator("details.menu summary.me").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login"))
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/p/default/connect$"))
    assert complaints == []


def test_checklist_turns_green_by_itself(page, connected, tasks, complaints):
    tasks.add.delay(1, 2)
    expect(page.locator("#checklist li.todo")).to_have_count(0, timeout=LIVE_MS)
    expect(page.locator("#checklist li.s-succeeded").first).to_be_visible()
    assert complaints == []


def test_list_shows_tasks_live(page, connected, tasks, complaints):
    page.goto("/p/default/tasks")
    loaded = page.evaluate("performance.timeOrigin")
    sent = tasks.add.delay(20, 22)
    row = page.locator(f'#rows tr[data-id="{sent.id}"]')
    expect(row).to_contain_text("succeeded", timeout=LIVE_MS, ignore_case=True)
    assert page.evaluate("performance.timeOrigin") == loaded
    assert complaints == []


def test_failed_task_shows_its_traceback(page, connected, tasks, complaints):
    sent = tasks.fail.delay("no such order")
    row = page.locator(f'#rows tr[data-id="{sent.id}"]')
    expect(row).to_contain_text("failed", timeout=LIVE_MS, ignore_case=True)
    row.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(f"/tasks/celery/{sent.id}"))
    expect(page.locator("#attempts .trace")).to_contain_text("raise ValueError(text)")
    expect(page.locator("#attempts .trace")).to_contain_text("no such order")
    assert complaints == []


def test_retry_shows_its_outcome_on_the_page(page, connected, broker, complaints):
    before = len(broker.count("failed"))
    page.get_by_role("button", name="Retry").click()
    link = page.locator("#commands").get_by_role("link", name="Open the new task")
    expect(link).to_be_visible(timeout=LIVE_MS)
    eventually(lambda: len(broker.count("failed")) == before + 1)
    link.click()
    expect(page.locator("#attempts")).to_contain_text("ValueError")
    assert complaints == []


def test_audit_shows_who_asked(page, connected, complaints):
    page.get_by_role("link", name="Audit", exact=True).first.click()
    expect(page).to_have_url(re.compile("/audit"))
    rows = page.locator("#entries tr", has_text=re.compile("retry", re.IGNORECASE))
    expect(rows.filter(has_text=EMAIL)).to_have_count(1)
    page.get_by_role("button", name="Verify the log").click()
    expect(page.locator("#check .s-succeeded")).to_be_visible()
    assert complaints == []


def test_agents_page_names_the_worker(page, connected, complaints):
    page.goto("/p/default/agents")
    expect(page.locator("#main")).to_contain_text(connected.name)
    assert complaints == []


def test_filter_is_in_the_url(page, connected, complaints):
    page.goto("/p/default/tasks?q=state:failed")
    states = page.locator("#rows tr td .state")
    expect(states.first).to_contain_text("failed", ignore_case=True)
    assert all("failed" in text.lower() for text in states.all_inner_texts())
    assert complaints == []


def test_task_is_cancelled_from_its_page(page, connected, tasks, broker, complaints):
    sent = tasks.add.apply_async((1, 1), countdown=8)
    page.goto("/p/default/tasks")
    expect(page.locator(f'#rows tr[data-id="{sent.id}"]')).to_be_visible(timeout=LIVE_MS)
    page.goto(f"/p/default/tasks/celery/{sent.id}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#commands")).to_contain_text(re.compile("done|discard|told", re.I))
    expect(page.locator(".head .state").first).to_contain_text(
        "cancelled", ignore_case=True, timeout=LIVE_MS
    )
    assert not broker.count("started")[sent.id]
    assert complaints == []


def test_eight_tabs_stay_live(page, connected, tasks, complaints):
    tabs = [page.context.new_page() for _ in range(TABS)]
    for tab in tabs:
        tab.goto("/p/default/tasks")
    sent = tasks.add.delay(3, 3)
    for tab in tabs:
        row = tab.locator(f'#rows tr[data-id="{sent.id}"]')
        expect(row).to_contain_text("succeeded", timeout=LIVE_MS, ignore_case=True)
    for tab in tabs:
        tab.close()
    assert complaints == []


def test_dark_theme_has_no_complaints_either(browser, server, visit, connected):
    state = visit[0].context.storage_state()
    options = {"color_scheme": "dark", "storage_state": state}
    with session(browser, server.url, **options) as (context, complaints):
        page = context.new_page()
        for path in ("tasks", "agents", "audit", "connect"):
            page.goto(f"/p/default/{path}")
            expect(page.locator("#main h1")).to_be_visible()
        assert complaints == []


def test_server_that_comes_back_is_seen(page, server, connected, tasks, visit):
    """Last: the browser's own network errors are not complaints about us."""
    page.goto("/p/default/tasks")
    server.kill()
    sent = tasks.add.delay(5, 5)
    server.start()
    row = page.locator(f'#rows tr[data-id="{sent.id}"]')
    expect(row).to_contain_text("succeeded", timeout=30_000, ignore_case=True)
    assert not [c for c in visit[1] if "CSP" in c or "exception" in c]
