# SPDX-License-Identifier: AGPL-3.0-only
"""A failed task is retried from the browser on each of the six engines; on Celery it is also edited
and run by its name. The tasks themselves say what they were called with.
"""

import hashlib
import re

import pytest
from playwright.sync_api import expect
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_server import eventually
from tests.support.everywhere.workers import COMMANDS, Shop

PASSWORD = "correct-horse-battery-staple-7391"
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()
OUTCOME_MS = 30_000
each_engine = pytest.mark.parametrize("engine", COMMANDS)


@pytest.fixture(scope="module")
def shops(broker_url, folder, project):
    """Engine -> its application, each with a worker and one task that failed."""
    made = {one: Shop(one, broker_url, folder, project.dsn) for one in COMMANDS}
    for shop in made.values():
        shop.send(-1, PASSWORD)
    yield made
    for shop in made.values():
        shop.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def member(server, project):
    return server.cli("createuser", "everywhere@example.com", "--project", project.slug)


@pytest.fixture(scope="module")
def visit(browser, server, member):
    """(page, complaints), signed in."""
    with session(browser, server.url) as (context, complaints):
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("E-mail").fill("everywhere@example.com")
        page.get_by_label("Password").fill(member["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/p/"))
        yield page, complaints


@pytest.fixture
def page(visit):
    """Nothing in the browser may complain."""
    page, complaints = visit
    complaints.clear()
    yield page
    assert complaints == []


def failed(project, engine):
    """The first task of the engine, once it has failed."""

    def ended():
        found = project.api.tasks(f"engine:{engine} state:failed")
        return found[-1]["task_id"] if found else None

    return eventually(ended, 40)


def task_of(project, engine, task_id):
    return project.api.ask("GET", f"/tasks/{engine}/{task_id}")["task"]


@each_engine
def test_failed_task_is_retried_with_its_secret(shops, project, page, engine):
    task_id = failed(project, engine)
    page.goto(f"/p/{project.slug}/tasks/{engine}/{task_id}")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.locator("#commands")).to_contain_text("Retry done", timeout=OUTCOME_MS)
    eventually(lambda: len(shops[engine].told()) == 2, 30)
    assert shops[engine].told() == [{"order": -1, "password": DIGEST}] * 2
    new_id = eventually(lambda: task_of(project, engine, task_id)["retried_as"])
    assert task_of(project, engine, new_id)["retry_of"] == task_id
    page.reload()
    page.locator("#lineage").get_by_role("link", name=new_id).click()
    expect(page.locator("#lineage")).to_contain_text("Retry of")
    expect(page.locator("#lineage")).to_contain_text(task_id)


@each_engine
def test_program_edits_and_runs_by_name(shops, project, engine):
    """The mark of the hidden value stands for the original, which only an agent can open."""
    task_id = failed(project, engine)
    task = task_of(project, engine, task_id)
    hidden = {"password": {"~redacted": "password"}}
    edited = act(project, f"/tasks/{engine}/{task_id}/edits", args=[41], kwargs=hidden)
    named = {"source": task["source"], "task": task["name"]}
    run = act(project, "/submissions", **named, args=[42], kwargs={"password": PASSWORD})
    assert (edited["state"], run["state"]) == ("done", "done"), (edited, run)
    wanted = [{"order": order, "password": DIGEST} for order in (41, 42)]
    eventually(lambda: all(one in shops[engine].told() for one in wanted), 30)
    assert task_of(project, engine, edited["new_task_id"])["retry_of"] == task_id


REGISTERED = [one for one in COMMANDS if one != "rq"]


@pytest.mark.parametrize("engine", REGISTERED)
def test_registered_task_is_told_with_its_signature(shops, project, engine):
    task_id = failed(project, engine)
    source = task_of(project, engine, task_id)["source"]

    def told():
        path = f"/registered-tasks?source={source}"
        [found] = project.api.ask("GET", path)["sources"]
        return [task for task in found["tasks"] if task["has_signature"]]

    [task] = eventually(told)
    names = [(one["name"], one["kind"], one["annotation"]) for one in task["parameters"]]
    assert names == [("order", "either", "int"), ("password", "named", "str")]
    assert (task["doc"], task["queue"]) == ("Charges an order.", shops[engine].queue)


def act(project, path, **body):
    """The outcome of what a program asked for."""
    command = project.api.ask("POST", path, expect=202, json=body)["command"]
    return project.api.outcome(command, 30)


def test_task_is_edited_and_retried_with_its_secret(shops, project, page):
    """What is hidden in the form stays as it was; the order is another one."""
    task_id = failed(project, "celery")
    page.goto(f"/p/{project.slug}/tasks/celery/{task_id}")
    page.get_by_label("More actions").click()
    page.get_by_role("link", name=re.compile("Edit and retry")).click()
    expect(page.get_by_text("the original value stays")).to_be_visible()
    assert PASSWORD not in page.content()
    page.get_by_label(re.compile("^order")).fill("77")
    page.get_by_role("button", name="Send as a new task").click()
    expect(page.locator("#commands")).to_contain_text("Edited retry done", timeout=OUTCOME_MS)
    eventually(lambda: {"order": 77, "password": DIGEST} in shops["celery"].told(), 30)


def test_task_is_run_by_its_name(shops, project, page):
    [source] = {task["source"] for task in project.api.tasks("engine:celery")}
    page.goto(f"/p/{project.slug}/submissions?source={source}")
    page.get_by_role("combobox", name="Task").fill("shop.charge")
    page.get_by_role("button", name="Show its arguments").click()
    expect(page.get_by_text("Charges an order.")).to_be_visible()
    page.get_by_label(re.compile("^order")).fill("88")
    page.get_by_label(re.compile("^password")).fill('"new"')
    page.get_by_role("button", name="Run it").click()
    expect(page.locator("#commands")).to_contain_text("Submission done", timeout=OUTCOME_MS)
    new = hashlib.sha256(b"new").hexdigest()
    eventually(lambda: {"order": 88, "password": new} in shops["celery"].told(), 30)
