# SPDX-License-Identifier: AGPL-3.0-only
"""The whole product on Postgres: a real worker's tasks in the list, on their pages and in the audit
log, a retry, the command line beside the server, and a server that was killed.
"""

import pytest
from tests.support.e2e_login import logged_in
from tests.support.e2e_server import Server, eventually
from tests.support.postgres import drop_database, execute, new_database

SECRET = "correct-horse-battery-staple-2846"
ADDED = 30


@pytest.fixture(scope="module")
def database():
    url = new_database()
    yield url
    drop_database(url)


@pytest.fixture(scope="module")
def server(folder, database):
    server = Server(folder, environment={"QUEUEDECK_DATABASE_URL": database}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def added(worker, tasks):
    """Ids of tasks that succeed."""
    return {tasks.add.delay(n, n).id for n in range(ADDED)}


@pytest.fixture(scope="module")
def failed(worker, tasks, project):
    """The id of a task that failed."""
    sent = tasks.fail_with_secret.delay(17, password=SECRET, card="4242424242424242")
    eventually(lambda: project.api.states().get(sent.id) == "failed")
    return sent.id


@pytest.fixture(scope="module")
def retried(failed, project):
    """The retry of that task, once it has ended."""
    return project.api.outcome(project.api.act(failed, "retries"))


def test_tasks_are_listed_counted_and_found(added, project, server):
    eventually(lambda: {i for i, s in project.api.states().items() if s == "succeeded"} >= added)
    assert project.api.totals()["states"]["celery"]["succeeded"] >= ADDED
    found = project.api.tasks("state:succeeded task:e2e.add")
    assert {task["task_id"] for task in found} == added
    with logged_in(server, project.slug) as browser:
        assert "e2e.add" in browser.get(f"/p/{project.slug}/tasks").text


def test_task_has_its_attempts_and_timeline(added, failed, project):
    detail = project.api.task(failed)
    assert [attempt["state"] for attempt in detail["attempts"]] == ["failed"]
    assert {"task-started", "task-failed"} <= {line["kind"] for line in detail["timeline"]}
    assert "order 17 not found" in str(detail)


def test_retry_runs_with_the_original_arguments(retried, failed, project, broker):
    assert retried["state"] == "done", retried
    new_id = retried["new_task_id"]
    eventually(lambda: project.api.states().get(new_id) == "failed")
    hashes = {x["id"]: x["arguments"] for x in broker.log() if x["what"] == "started"}
    assert hashes[new_id] == hashes[failed]
    assert project.api.task(new_id)["task"]["retry_of"] == failed


def test_audit_log_holds_the_retry_and_verifies(retried, failed, project, server):
    entries = project.api.audit()
    assert any("retry" in e["action"] and failed in str(e) for e in entries), entries
    checked = server.cli("verify-audit")
    assert (checked["verdict"], checked["size"] >= len(entries)) == ("ok", True)


def test_secret_is_nowhere_in_the_database(retried, database):
    tables = execute(
        database,
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
        " WHERE schemaname IN ('control', 'history')",
    )
    assert {row["name"].partition(".")[0] for row in tables} == {"control", "history"}
    for row in tables:
        stored = execute(database, f"SELECT * FROM {row['name']}")
        assert SECRET not in str(stored)
        assert SECRET.encode() not in b"".join(v for r in stored for v in r if type(v) is bytes)


def test_nothing_but_keys_is_in_the_data_folder(retried, server):
    assert {file.name for file in server.data.iterdir()} == {
        "secret.key",
        "server.json",
        "server.lock",
    }


def test_second_server_on_the_database_is_refused(retried, server, database, tmp_path):
    other = Server(tmp_path, environment={"QUEUEDECK_DATABASE_URL": database}).start(wait=False)
    assert eventually(lambda: not other.process.is_running(), 30)
    log = other.log.read_text()
    assert "is in use by another Queuedeck server (on host " in log
    assert "Traceback" not in log


def test_killed_server_goes_on_with_everything(added, retried, project, server, tasks):
    before = project.api.states()
    server.kill()
    late = {tasks.add.delay(n, 1).id for n in range(5)}
    server.start()
    eventually(lambda: {i for i, s in project.api.states().items() if s == "succeeded"} >= late, 60)
    assert {task_id: project.api.states()[task_id] for task_id in before} == before
    totals = project.api.totals()
    assert (totals["lost"], totals["quarantined"]) == (0, 0)
    assert len(project.api.tasks()) == len(before) + len(late)


def test_log_has_no_traceback(retried, server):
    assert "Traceback" not in server.log.read_text()
