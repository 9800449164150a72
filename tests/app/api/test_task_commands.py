# SPDX-License-Identifier: AGPL-3.0-only
"""What programs do with one task beside retry and cancel, and running a task by its name."""

import pytest
from tests.app.api.test_commands import asked, program
from tests.support.control import audited
from tests.support.history_events import SOURCE
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, record

from queuedeck.domain.accounts.permissions import Role
from queuedeck_agent import wire

VERBS = ("edit", "submit", "move", "priority", "requeue", "reconcile")
ALLOW = ("observe", "retry", "submit", "move", "priority")
INFO = wire.TaskInfo("shop.pay", "Pays.", parameters=(wire.Parameter("order", "either", True),))

ACTS = [
    ("t-1", "edits", {"args": [8], "kwargs": {"region": "eu"}, "delay_s": 5}, "edit"),
    ("t-2", "moves", {"queue": "slow"}, "move"),
    ("t-2", "priorities", {"priority": 5}, "priority"),
    ("t-1", "requeues", None, "requeue"),
    ("t-1", "reconciliations", None, "reconcile"),
]
each_act = pytest.mark.parametrize(("task_id", "noun", "body", "verb"), ACTS, ids=lambda x: str(x))


@pytest.fixture
async def shop(serving, project):
    """A failed and a waiting task, and an agent that could act on both in every way."""
    await record(serving, project, *a_failed_task(), *a_waiting_task())
    verbs = tuple(wire.Capability(verb, "native") for verb in VERBS)
    engine = wire.EngineInfo("celery", "5.6.3", SOURCE, "worker", capabilities=verbs)
    connection = connect_agent(serving, project, allow=ALLOW, engines=(engine,))
    serving.services.registry.learn(connection, wire.TaskCatalog(SOURCE, (INFO,)))
    return project


@each_act
async def test_command_is_asked_for(serving, shop, task_id, noun, body, verb):
    async with program(serving, shop) as client:
        answer = await client.post(f"/tasks/celery/{task_id}/{noun}", json=body)
    assert (answer.status_code, answer.json()["command"]["verb"]) == (202, verb)
    assert [command.verb for command in await asked(serving, shop, task_id)] == [verb]
    assert (f"task.{verb}", "requested") in await audited(serving.services.control, shop.slug)


@each_act
async def test_lesser_role_is_refused_and_others_see_nothing(
    serving, shop, task_id, noun, body, verb
):
    other = await serving.project("Other")
    async with program(serving, shop, Role.VIEWER) as viewer:
        refused = await viewer.post(f"/tasks/celery/{task_id}/{noun}", json=body)
    async with program(serving, shop, of=other) as stranger:
        hidden = await stranger.post(f"/tasks/celery/{task_id}/{noun}", json=body)
    assert (refused.status_code, hidden.status_code) == (403, 404)
    assert await asked(serving, shop, task_id) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/tasks/celery/t-1/edits", {"args": "eight"}, 422),
        ("/tasks/celery/t-1/edits", {"arguments": []}, 422),
        ("/tasks/celery/t-2/edits", {"args": []}, 409),
        ("/tasks/celery/t-2/priorities", {"priority": -5}, 422),
        ("/tasks/celery/t-2/moves", {"queue": ""}, 422),
        ("/tasks/celery/t-1/retries?delay_s=-1", None, 422),
        ("/tasks/celery/t-1/retries?at_us=1", None, 422),
        ("/tasks/celery/t-1/edits", {"args": [8], "delay_s": 5, "at_us": 1 << 51}, 422),
        ("/submissions", {"source": SOURCE, "task": ""}, 422),
        ("/submissions", {"source": "ffffffffffff", "task": "shop.pay"}, 404),
        ("/submissions", {"source": SOURCE, "task": "shop.pay", "delay_s": -1}, 422),
    ],
)
async def test_bad_input_is_refused_with_words(serving, shop, path, body, status):
    async with program(serving, shop) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_registered_tasks_are_listed_with_their_signature(serving, shop):
    async with program(serving, shop) as client:
        [source] = (await client.get("/registered-tasks")).json()["sources"]
    [task] = source["tasks"]
    assert (source["source"], source["engine"], source["can_run"]) == (SOURCE, "celery", True)
    assert (task["name"], task["doc"]) == ("shop.pay", "Pays.")
    assert task["parameters"][0]["name"] == "order"


async def test_submission_with_the_same_text_is_carried_out_once(serving, shop):
    body = {"source": SOURCE, "task": "shop.pay", "args": [1], "once": "import 7"}
    async with program(serving, shop) as client:
        first = (await client.post("/submissions", json=body)).json()["command"]
        again = (await client.post("/submissions", json=body)).json()["command"]
        other = await client.post("/submissions", json=body | {"args": [2]})
    assert first["id"] == again["id"]
    assert (first["verb"], first["task_name"]) == ("submit", "shop.pay")
    assert other.status_code == 409
