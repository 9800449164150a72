# SPDX-License-Identifier: AGPL-3.0-only
"""A retry brings back the original arguments, a secret among them, which nobody else ever sees."""

import base64

import httpx
import pytest
from tests.support.e2e_login import logged_in
from tests.support.e2e_server import eventually

PASSWORD = "correct-horse-battery-staple-7391"
CARD = "4242424242424242"


@pytest.fixture(scope="module")
def retried(worker, tasks, project):
    """(id of the failed task, its retry command once it ended)."""
    sent = tasks.fail_with_secret.delay(17, password=PASSWORD, card=CARD)
    eventually(lambda: project.api.states().get(sent.id) == "failed")
    command = project.api.act(sent.id, "retries")
    return sent.id, project.api.outcome(command)


@pytest.fixture(scope="module")
def rerun(retried, project, broker):
    """The id of the new task, once it has ended too."""
    _, command = retried
    new_id = command["new_task_id"]
    eventually(lambda: project.api.states().get(new_id) == "failed")
    return new_id


def test_retry_is_done(retried):
    _, command = retried
    assert command["state"] == "done", command


def test_retried_task_reports_the_same_arguments(retried, rerun, broker):
    hashes = {x["id"]: x["arguments"] for x in broker.log() if x["what"] == "started"}
    assert hashes[rerun] == hashes[retried[0]]


def test_both_tasks_name_each_other(retried, rerun, project):
    old, new = project.api.task(retried[0])["task"], project.api.task(rerun)["task"]
    assert old["retried_as"] == rerun
    assert new["retry_of"] == retried[0]


def test_retry_stands_in_the_audit_log(retried, project):
    entries = project.api.audit()
    assert any("retry" in e["action"] and retried[0] in str(e) for e in entries), entries


def test_secret_is_in_no_answer(retried, rerun, project):
    for task_id in (retried[0], rerun):
        project.api.task(task_id)
    project.api.ask("GET", "/audit")
    assert not [body for body in project.api.answers if _holds_secret(body)]


def test_secret_is_in_no_page(retried, rerun, project, server):
    task = "tasks/celery/"
    paths = ("tasks", task + retried[0], task + rerun, "audit", "agents")
    with logged_in(server, project.slug) as browser:
        pages = [browser.get(f"/p/{project.slug}/{path}") for path in paths]
    assert [page.status_code for page in pages] == [200] * len(paths)
    assert retried[0] in pages[1].text
    assert not [page.url for page in pages if _holds_secret(page.content)]


def test_secret_is_in_no_file(retried, rerun, folder):
    """Databases, their WAL, the spool and the logs of all processes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    names = {file.name for file in files}
    assert {"control.db", "history.db", "history.db-wal", "server.log"} <= names
    assert not [file for file in files if _holds_secret(file.read_bytes())]


def test_viewer_may_not_retry(retried, server, project):
    token = server.cli("tokens", "create", project.slug, "--role", "viewer")["token"]
    answer = httpx.post(
        f"{server.url}/api/v1/projects/{project.slug}/tasks/celery/{retried[0]}/retries",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403


def _holds_secret(content):
    encoded = base64.b64encode(PASSWORD.encode())[:24]
    return any(text in content for text in (PASSWORD.encode(), CARD.encode(), encoded))
