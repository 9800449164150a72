# SPDX-License-Identifier: AGPL-3.0-only
"""Queues and workers that programs act on: the same guards and use-cases as the pages."""

from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.support import queues as support
from tests.support.control import audited
from tests.support.history_events import SOURCE
from tests.support.pages import a_waiting_task, record

from queuedeck.domain.accounts.permissions import Role
from queuedeck_agent import wire

QUEUE = f"/queues/celery/{SOURCE}/emails"


@pytest.fixture
async def shop(serving, project):
    """A queue with a worker that could do anything."""
    await record(serving, project, *a_waiting_task())
    engine = support.an_engine(("emails",), source=SOURCE, worker="celery@pay-3")
    worker = support.enter(serving.services, project.id, support.a_worker(engine))
    project.worker = f"/workers/{worker.agent.agent_id}/{SOURCE}"
    return project


@asynccontextmanager
async def program(serving, project, role=Role.OPERATOR, of=None):
    """A client of the project's API, with a token of it or of another one."""
    headers = {"Authorization": f"Bearer {await serving.token(of or project, role)}"}
    async with serving.http(headers=headers) as client:
        client.base_url = f"{serving.url}/api/v1/projects/{project.slug}"
        yield client


ACTIONS = [
    ("queue", "/pauses", {"reason": "deploy", "for_s": 600}, "queue.pause"),
    ("queue", "/purges", {"name": "emails"}, "queue.purge"),
    ("queue", "/peeks", {}, "queue.peek"),
    ("queue", "/dead-letters", {"amount": 5}, "queue.dead"),
    ("queue", "/requeues", {"ids": ["d1", "d2"]}, "queue.requeue"),
    ("worker", "/pool-changes", {"amount": -1}, "worker.pool"),
    ("worker", "/rate-limits", {"task_name": "shop.pay", "rate": "1/s"}, "worker.rate"),
    ("worker", "/drains", None, "worker.drain"),
    ("worker", "/undrains", None, "worker.undrain"),
    ("worker", "/restarts", None, "worker.restart"),
]
each_action = pytest.mark.parametrize(
    ("of", "noun", "body", "action"), ACTIONS, ids=[action for *_, action in ACTIONS]
)


def path(project, of, noun):
    return (QUEUE if of == "queue" else project.worker) + noun


async def asked(serving, project):
    return [one.verb for one in await support.commands(serving.services.control, project.id)]


@each_action
async def test_program_asks_and_it_is_written_down(serving, shop, of, noun, body, action):
    async with program(serving, shop) as client:
        answer = await client.post(path(shop, of, noun), json=body)
    assert answer.status_code == 202, answer.text
    assert await asked(serving, shop) == [action.partition(".")[2]]
    assert (action, "requested") in await audited(serving.services.control, shop.slug)


@each_action
async def test_viewer_is_refused_and_that_is_written_down(serving, shop, of, noun, body, action):
    async with program(serving, shop, Role.VIEWER) as client:
        answer = await client.post(path(shop, of, noun), json=body)
    assert answer.status_code == 403
    assert await asked(serving, shop) == []
    outcomes = [outcome for _, outcome in await audited(serving.services.control, shop.slug)]
    assert outcomes.count("refused") == 1


@each_action
async def test_other_projects_do_not_exist(serving, shop, of, noun, body, action):
    other = await serving.project("Other")
    async with program(serving, shop, of=other) as stranger:
        assert (await stranger.post(path(shop, of, noun), json=body)).status_code == 404
    async with program(serving, other) as stranger:
        assert (await stranger.post(path(shop, of, noun), json=body)).status_code == 404
    assert await asked(serving, shop) == []


async def test_pause_says_how_far_it_is_until_it_is_resumed(serving, shop):
    async with program(serving, shop) as client:
        held = (await client.post(f"{QUEUE}/pauses", json={"reason": "deploy"})).json()["pause"]
        assert [one["word"] for one in held["workers"]] == ["waiting"]
        assert (held["reason"], held["until_us"]) == ("deploy", None)
        await support.answer_all(serving.services, shop.id, effect="It stopped.")
        (held,) = (await client.get("/pauses")).json()["pauses"]
        assert [(one["word"], one["why"]) for one in held["workers"]] == [
            ("confirmed", "It stopped.")
        ]
        again = await client.post(f"{QUEUE}/pauses", json={"reason": "me too"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        resumed = await client.post(f"{QUEUE}/resumptions")
        assert (resumed.status_code, resumed.json()) == (202, {"pauses": []})
        assert (await client.post(f"{QUEUE}/resumptions")).status_code == 409


async def test_what_an_agent_found_is_in_the_answer(serving, shop):
    found = [{"id": "t-2", "name": "shop.send_receipt", "args": {"args": [1], "kwargs": {}}}]
    async with program(serving, shop) as client:
        await client.post(f"{QUEUE}/peeks", json={"amount": 3})
        answer = (await client.get(QUEUE)).json()
        assert answer["peek"]["state"] in ("pending", "sent")
        assert (answer["peek"]["found"], answer["dead"]) == (None, None)
        await support.answer_all(
            serving.services, shop.id, found=msgspec.json.encode(found), affected=9
        )
        answer = (await client.get(QUEUE)).json()
    assert (answer["peek"]["found"], answer["peek"]["affected"]) == (found, 9)
    assert answer["queue"]["name"] == "emails"
    assert [one["verb"] for one in answer["commands"]] == ["peek"]


@pytest.mark.parametrize(
    ("noun", "body"),
    [
        ("/purges", {"name": "email"}),
        ("/pauses", {"reason": ""}),
        ("/pauses", {"reason": "x", "for_s": 5}),
        ("/peeks", {"amount": 0}),
        ("/peeks", {"amount": 101}),
        ("/requeues", {"ids": []}),
        ("/requeues", {"ids": ["x" * 501]}),
    ],
)
async def test_input_that_is_not_valid_asks_nobody(serving, shop, noun, body):
    async with program(serving, shop) as client:
        assert (await client.post(QUEUE + noun, json=body)).status_code == 422
    assert await asked(serving, shop) == []


async def test_workers_say_what_cannot_be_asked_of_them(serving, shop):
    engine = support.an_engine(("emails",), source=SOURCE, worker="w2", without={"pool": "Fixed."})
    support.enter(serving.services, shop.id, support.a_worker(engine, host="other"))
    async with program(serving, shop, Role.VIEWER) as client:
        workers = (await client.get("/workers")).json()["workers"]
    assert {one["name"]: one["cannot"] for one in workers} == {
        "celery@pay-3": {},
        "w2": {"pool": "`pool` is not possible on celery here. Fixed."},
    }
    assert all(one["connected"] for one in workers)


async def test_workers_say_what_they_take_and_which_code_runs(serving, shop):
    hello = support.a_worker(
        support.an_engine(("emails",), source=SOURCE, worker="w2"), host="other", release="v1.9"
    )
    connection = support.enter(serving.services, shop.id, hello)
    beat = wire.Heartbeat(
        serving.services.clock() + 3_000_000, rss_bytes=80, children=4, children_rss_bytes=300
    )
    serving.services.registry.heartbeat(connection, beat)
    async with program(serving, shop, Role.VIEWER) as client:
        workers = (await client.get("/workers")).json()["workers"]
    by_name = {one["name"]: one for one in workers}
    told, silent = by_name["w2"], by_name["celery@pay-3"]
    fields = ("release", "rss_bytes", "children", "children_rss_bytes", "agent_version")
    assert [told[one] for one in fields] == ["v1.9", 80, 4, 300, "0.1.0"]
    assert [silent[one] for one in fields] == ["", 0, -1, 0, "0.1.0"]
    assert 2_000_000 < told["clock_skew_us"] <= 3_000_000


async def test_outcome_of_a_command_on_a_worker_is_shown(serving, shop):
    async with program(serving, shop) as client:
        asked_for = (await client.post(f"{shop.worker}/pool-changes", json={"amount": 2})).json()
        await support.answer_all(serving.services, shop.id, effect="6 slots now.", affected=2)
        (worker,) = (await client.get("/workers")).json()["workers"]
    (command,) = worker["commands"]
    assert command["id"] == asked_for["command"]["id"]
    assert (command["state"], command["effect"], command["worker"]) == (
        "done", "6 slots now.", "celery@pay-3",
    )  # fmt: skip
