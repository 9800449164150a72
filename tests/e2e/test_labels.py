# SPDX-License-Identifier: AGPL-3.0-only
"""One task name for everything, on Celery and arq: an owner writes a rule of labels and one of
marks in the browser, and what real workers run from then on is named and marked.
"""

import asyncio
import re
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from arq import create_pool
from arq.connections import RedisSettings
from celery import Celery
from playwright.sync_api import expect
from redis import Redis
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import AGENT, REPOSITORY, started

from queuedeck.demo.children import start

NAME = "app.work"
COMMANDS = {
    "celery": ["celery", "-A", "tests.support.jobs_app", "worker", "-c", "1", "--without-mingle"],
    "arq": ["arq", "tests.support.jobs_app.Worker"],
}


class Jobs:
    """A worker of each engine, and their senders, which have no agent."""

    def __init__(self, url, folder, dsn):
        self._url = url
        self.queue = f"jobs{secrets.token_hex(4)}"
        environment = {
            "PYTHONPATH": str(REPOSITORY),
            "C_FORCE_ROOT": "1",
            "QUEUEDECK_DSN": dsn,
            "JOBS_BROKER": url,
            "JOBS_QUEUE": self.queue,
        }
        self._workers = [
            start(
                engine,
                [*AGENT, sys.executable, "-m", *command],
                folder,
                environment | {"QUEUEDECK_SPOOL": str(folder / f"spool-{engine}")},
            )
            for engine, command in COMMANDS.items()
        ]
        started.extend(self._workers)

    def send(self, engine, job, customer):
        if engine == "arq":
            with ThreadPoolExecutor(1) as thread:  # The browser has an event loop in this one.
                thread.submit(lambda: asyncio.run(self._enqueue(job, customer))).result()
            return
        app = Celery(broker=self._url)
        app.send_task(NAME, kwargs={"job": job, "customer": customer}, queue=self.queue)
        app.close()

    async def _enqueue(self, job, customer):
        settings = RedisSettings.from_dsn(self._url)
        pool = await create_pool(settings, default_queue_name=f"{self.queue}-arq")
        await pool.enqueue_job(NAME, job, customer)
        await pool.aclose(close_connection_pool=True)

    def stop(self):
        for worker in self._workers:
            worker.stop()
        with Redis.from_url(self._url) as client:
            for key in client.scan_iter(f"*{self.queue}*"):
                client.delete(key)


@pytest.fixture
def jobs(broker_url, folder, project):
    made = Jobs(broker_url, folder, project.dsn)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def member(server, project):
    return server.cli("createuser", "labels@example.com", "--project", project.slug)


@pytest.fixture
def page(server, member):
    """Signed in as an owner; nothing in the browser may complain."""
    with chromium() as browser, session(browser, server.url) as (context, complaints):
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("E-mail").fill("labels@example.com")
        page.get_by_label("Password").fill(member["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/p/"))
        yield page
        assert complaints == []


def ended(project, question, number):
    eventually(lambda: len(project.api.tasks(f"state:succeeded {question}")) == number, 40)


def test_one_name_becomes_many(page, jobs, project):
    for engine in COMMANDS:
        jobs.send(engine, "import", {"name": "Ann"})
    ended(project, f"task:{NAME}", 2)
    page.goto(f"/p/{project.slug}/labels")
    page.get_by_role("link", name="New label rule").click()
    page.locator("#f-pattern").fill(NAME)
    page.locator("#f-template").fill("{kwargs.job|args.0} for {customer.name}")
    yields = page.locator("#yields")
    expect(yields).to_contain_text("'customer.name' is no place")
    page.locator("#f-template").fill("{kwargs.job|args.0} for {kwargs.customer.name|args.1.name}")
    expect(yields).to_contain_text("Of the last 2 tasks of this name, 2 would have a label.")
    expect(yields).to_contain_text("import for Ann")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#label-rules")).to_contain_text(NAME)
    page.get_by_role("link", name="New mark rule").click()
    page.locator("#f-pattern").fill("app.*")
    page.locator("#f-path").fill("status")
    page.locator("#f-value").fill("error")
    page.locator("#f-title").fill("returned an error")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#mark-rules")).to_contain_text("returned an error")

    for engine in COMMANDS:
        jobs.send(engine, "charge", {"name": "Bob"})
    ended(project, 'label:"charge for Bob" marked:yes', 2)
    found = project.api.tasks("label:*")
    assert {(task["engine"], task["label"], task["mark"]) for task in found} == {
        (engine, "charge for Bob", "returned an error") for engine in COMMANDS
    }
    page.goto(f"/p/{project.slug}/tasks?q=task:{NAME}")
    page.locator("#facets").get_by_role("link", name=re.compile("^charge for Bob")).first.click()
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#rows .marked")).to_have_count(2)
    page.locator("#rows a.name").first.click()
    expect(page.locator(".head")).to_contain_text("Succeeded")
    expect(page.locator(".head")).to_contain_text("returned an error")
    expect(page.locator("#result")).to_contain_text("Bob has no card")
    page.get_by_role("link", name="charge for Bob").click()
    expect(page.locator("#rows tr")).to_have_count(2)
