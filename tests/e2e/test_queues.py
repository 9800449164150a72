# SPDX-License-Identifier: AGPL-3.0-only
"""A queue that is really deep: the page says what Redis says, by any one of the workers."""

import time

import pytest
from playwright.sync_api import expect
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import run_attached, start_worker

SENT = 30
NAP_S = 600
COUNT_S = 30
"""Some rounds of counting, on a busy machine."""


@pytest.fixture(scope="module")
def workers(folder, broker, project):
    """Two workers with one slot each, both of which could count."""
    made = [start_worker(folder, broker, project.dsn, slots=1, name=f"deep{n}") for n in "ab"]
    yield made
    for worker in made:
        worker.kill()


@pytest.fixture(scope="module")
def deep(folder, broker, project, workers, tasks):
    """Tasks that keep both workers busy, and many more, sent by a process with the agent."""
    for _ in range(4):
        tasks.nap.delay(NAP_S)
    eventually(lambda: len(broker.count("started")) == 2, 20)
    code = f"from tests.support.e2e_app import add\nfor n in range({SENT}):\n    add.delay(n, n)\n"
    producer = run_attached(folder, broker, project.dsn, code)
    eventually(lambda: broker.waiting() >= SENT, 30)
    yield time.time()
    producer.stop()


def counted(project, name):
    """The queue as the API has it, when it was counted."""
    queues = project.api.ask("GET", "/queues")["queues"]
    return next((q for q in queues if q["name"] == name and q["state"] == "counted"), None)


def test_depth_is_that_of_the_broker(project, broker, deep):
    queue = eventually(
        lambda: (q := counted(project, broker.queue)) and q["waiting"] == broker.waiting() and q,
        COUNT_S,
    )
    assert queue["waiting"] >= SENT
    assert abs(queue["oldest_us"] / 1e6 - deep) < 60
    assert (queue["workers"], queue["slots"]) == (2, 2)
    assert queue["in_per_minute"] > 0
    assert queue["minutes"][-1] >= SENT


def test_another_worker_goes_on_when_the_one_that_counts_is_gone(project, broker, deep, workers):
    before = counted(project, broker.queue)["counted_us"]
    workers[0].kill()
    eventually(lambda: counted(project, broker.queue)["workers"] == 1, COUNT_S)
    began = time.time_ns() // 1_000

    def goes_on():
        queue = counted(project, broker.queue)
        return queue and queue["counted_us"] > max(began, before)

    eventually(goes_on, COUNT_S)
    assert counted(project, broker.queue)["waiting"] == broker.waiting()


def test_page_shows_it_and_changes_by_itself(server, project, broker, deep):
    made = server.cli("createuser", "deep@example.com", "--project", project.slug)
    with chromium() as browser, session(browser, server.url) as (context, complaints):
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("E-mail").fill("deep@example.com")
        page.get_by_label("Password").fill(made["password"])
        page.get_by_role("button", name="Sign in").click()
        page.goto(f"/p/{project.slug}/queues")
        row = page.locator("#queues tr", has_text=broker.queue)
        expect(row.locator(".depth")).to_have_text(str(broker.waiting()))
        expect(row).to_contain_text("Active")
        loaded = page.evaluate("performance.timeOrigin")
        broker.client.rpop(f"{broker.prefix}{broker.queue}")
        expect(row.locator(".depth")).to_have_text(str(broker.waiting()), timeout=COUNT_S * 1_000)
        assert page.evaluate("performance.timeOrigin") == loaded
        row.locator(".depth").click()
        expect(page.locator("#rows tr").first).to_contain_text("add")
        assert complaints == []
