# SPDX-License-Identifier: AGPL-3.0-only
"""A queue of a real worker is paused, looked into, purged and resumed from the browser, and Redis
itself says each time what that did.
"""

import json
import re
import time

import pytest
from playwright.sync_api import expect
from tests.support.e2e_broker import Broker
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_rq import ALLOW, RqBroker, start_rq_worker
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import app_for, start_worker

STAYS_S = 2.0
"""So long nothing may be taken from a paused queue: a worker that could would have it at once."""
OUTCOME_MS = 20_000


class RqCase:
    engine = "rq"

    def __init__(self, url, folder, dsn):
        self.folder, self.dsn = folder, dsn
        self.broker = RqBroker(url)
        self.queue = self.broker.queue
        self.workers = []
        self.start("rq-first")

    def start(self, name):
        self.workers.append(start_rq_worker(self.folder, self.broker, self.dsn, name))

    def send(self, number):
        return self.broker.send(number)

    def waiting(self):
        return self.broker.waiting()

    def ran(self, ids):
        return self.broker.finished(ids)

    def stop(self):
        for worker in self.workers:
            worker.stop()
        self.broker.close()


class CeleryCase:
    engine = "celery"

    def __init__(self, url, folder, dsn):
        self.folder, self.dsn = folder, dsn
        self.broker = Broker(url)
        self.queue = self.broker.queue
        self.tasks = app_for(self.broker)
        self.workers = []
        self.start("celery-first")

    def start(self, name):
        environment = {"QUEUEDECK_ALLOW": ALLOW}
        worker = start_worker(
            self.folder, self.broker, self.dsn, name=name, environment=environment
        )
        self.workers.append(worker)

    def send(self, number):
        return [self.tasks.add.delay(n, n).id for n in range(number)]

    def waiting(self):
        """Oldest first, as kombu would take them."""
        found = self.broker.client.lrange(f"{self.broker.prefix}{self.queue}", 0, -1)
        return [json.loads(one)["headers"]["id"] for one in reversed(found)]

    def ran(self, ids):
        return len(set(ids) & set(self.broker.count("succeeded")))

    def stop(self):
        for worker in self.workers:
            worker.stop()
        self.broker.clear()


CASES = {"rq": RqCase, "celery": CeleryCase}


@pytest.fixture(scope="module", params=CASES)
def case(request, broker_url, folder, project):
    made = CASES[request.param](broker_url, folder, project.dsn)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def member(server, project):
    return server.cli("createuser", "control@example.com", "--project", project.slug)


@pytest.fixture
def page(server, member, case):
    """Signed in; nothing in the browser may complain."""
    with chromium() as browser, session(browser, server.url) as (context, complaints):
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("E-mail").fill("control@example.com")
        page.get_by_label("Password").fill(member["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/p/"))
        yield page
        assert complaints == []


def path_of(project, case):
    """The page of the queue, whose source the worker's agent has named."""

    def known():
        queues = project.api.ask("GET", "/queues")["queues"]
        return next((q for q in queues if q["name"] == case.queue and q["workers"]), None)

    found = eventually(known, 30)
    return f"/queues/{case.engine}/{found['source']}/{case.queue}"


def pause(page, reason):
    page.locator("#pause-button").click()
    page.locator("#pause-reason").fill(reason)
    page.get_by_role("button", name="Pause the queue").click()


def nothing_is_taken(case, number):
    """All of them are in Redis, and stay there. A worker that waited at the queue when it was
    paused may take the first one, and puts it back at once."""
    eventually(lambda: len(case.waiting()) == number)
    until = time.monotonic() + STAYS_S
    while time.monotonic() < until:
        assert len(case.waiting()) == number
        time.sleep(0.1)


def resume_what_is_left(project):
    """Of a first go that failed, or of another case that did."""
    for one in project.api.ask("GET", "/pauses")["pauses"]:
        queue = f"/queues/{one['engine']}/{one['source']}/{one['queue']}"
        project.api.ask("POST", f"{queue}/resumptions", expect=202)


def test_queue_is_paused_looked_into_purged_and_resumed(page, server, project, case, folder):
    queue = path_of(project, case)
    resume_what_is_left(project)
    at = f"/p/{project.slug}{queue}"
    page.goto(at)
    pause(page, "the bank is down")
    banner = page.locator(".strip.paused")
    expect(banner).to_contain_text("the bank is down")
    expect(page.locator("#held")).to_contain_text("Confirmed", timeout=OUTCOME_MS)
    expect(banner).to_contain_text("is paused", timeout=OUTCOME_MS)
    ids = case.send(5)
    nothing_is_taken(case, 5)
    case.start(f"{case.engine}-later")
    expect(page.locator("#held .s-succeeded")).to_have_count(2, timeout=OUTCOME_MS)
    nothing_is_taken(case, 5)

    page.locator("#first").get_by_role("button", name="Look").click()
    expect(page.locator("#first .messages > li")).to_have_count(5, timeout=OUTCOME_MS)
    for one in ids:
        expect(page.locator("#first")).to_contain_text(one)
    assert case.waiting() == ids

    page.locator("#purge-button").click()
    expect(page.locator("#purge")).to_contain_text("will never run")
    page.locator("#purge-name").fill(case.queue)
    page.get_by_role("button", name="Purge the queue").click()
    expect(page.locator("#commands")).to_contain_text("Purge done", timeout=OUTCOME_MS)
    assert case.waiting() == []
    assert case.ran(ids) == 0

    more = case.send(2)
    page.goto(f"/p/{project.slug}/tasks")
    expect(page.locator(".strip.paused")).to_contain_text("the bank is down")
    nothing_is_taken(case, 2)
    page.goto(at)
    page.locator("#resume-button").click()
    eventually(lambda: case.ran(more) == 2, 30)
    assert case.waiting() == []
    expect(page.locator(".strip.paused")).to_have_count(0)
