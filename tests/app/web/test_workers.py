# SPDX-License-Identifier: AGPL-3.0-only
"""The page of workers: what they run, and what can be asked of one of them."""

import json

import pytest
from tests.support import queues as support
from tests.support.control import audited
from tests.support.history_events import SOURCE, published, started
from tests.support.pages import press, record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.commands.queries import seen
from queuedeck_agent import wire

NAME = "celery@pay-3"


def an_engine(**more):
    fields = {"worker": NAME, "source": SOURCE, "tasks": ("shop.pay", "shop.<mail>")}
    return support.an_engine(("emails",), **(fields | more))


@pytest.fixture
async def shop(serving, project):
    """A worker that runs a task and could be asked anything."""
    hello = support.a_worker(an_engine(), host="pay-3.internal")
    project.worker = support.enter(serving.services, project.id, hello)
    project.agent = project.worker.agent.agent_id
    return project


@pytest.fixture
async def ann(serving, shop):
    async with visitor(serving, shop) as client:
        yield client


def path(project, noun):
    return f"/p/{project.slug}/workers/{project.agent}/{SOURCE}/{noun}"


async def look(client, project):
    answer = await client.get(f"/p/{project.slug}/workers")
    assert answer.status_code == 200, answer.text
    return answer.text


async def asked(serving, project):
    return await support.commands(serving.services.control, project.id)


ACTIONS = [
    ("pool-changes", {"amount": "+2"}, "pool"),
    ("rate-limits", {"task_name": "shop.pay", "rate": "10/m"}, "rate"),
    ("drains", {}, "drain"),
    ("undrains", {}, "undrain"),
    ("restarts", {}, "restart"),
]
each_action = pytest.mark.parametrize(
    ("noun", "fields", "verb"), ACTIONS, ids=[verb for *_, verb in ACTIONS]
)


@each_action
async def test_button_asks_this_worker_and_comes_back(serving, shop, ann, noun, fields, verb):
    other = support.enter(serving.services, shop.id, support.a_worker(an_engine(worker="other")))
    answer = await press(ann, path(shop, noun), **fields)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/p/{shop.slug}/workers")
    (command,) = await asked(serving, shop)
    assert (command.verb, command.only_agent) == (verb, shop.agent)
    assert command.target == f"worker:{SOURCE}:{NAME}"
    assert await support.take(serving.services, shop.id, other) == []
    assert (f"worker.{verb}", "requested") in await audited(serving.services.control, shop.slug)


async def test_what_was_entered_reaches_the_agent(serving, shop, ann):
    for noun, fields, _ in ACTIONS[:2]:
        await press(ann, path(shop, noun), **fields)
    pool, rate = (seen(one) for one in await asked(serving, shop))
    assert (pool.details.amount, pool.details.worker) == (2, NAME)
    assert (rate.task_name, rate.details.rate, rate.details.worker) == ("shop.pay", "10/m", NAME)


@each_action
async def test_button_by_htmx_says_requested(serving, shop, ann, noun, fields, verb):
    headers = {"HX-Request": "true", "X-CSRF-Token": ann.csrf}
    answer = await ann.post(path(shop, noun), data=fields, headers=headers)
    assert answer.status_code == 204
    toast = json.loads(answer.headers["hx-trigger"])["queuedeck:toast"]
    assert (toast["state"], " done" in toast["text"]) == ("queued", False)


@each_action
async def test_viewer_is_refused_and_that_is_written_down(serving, shop, noun, fields, verb):
    async with visitor(serving, shop, Role.VIEWER) as viewer:
        assert (await press(viewer, path(shop, noun), **fields)).status_code == 403
        assert "this needs an operator" in await look(viewer, shop)
    assert await asked(serving, shop) == []
    assert ("worker.control", "refused") in await audited(serving.services.control, shop.slug)


@each_action
async def test_other_projects_do_not_exist(serving, shop, noun, fields, verb):
    other = await serving.project("Other")
    async with visitor(serving, other) as stranger:
        own = path(shop, noun).replace(shop.slug, other.slug, 1)
        for url in (path(shop, noun), own):
            assert (await press(stranger, url, **fields)).status_code == 404
    assert await asked(serving, shop) == []


@each_action
async def test_impossible_says_why(serving, project, noun, fields, verb):
    why = {one: f"No {one} <here>." for one in wire.VERBS}
    hello = support.a_worker(an_engine(without=why))
    project.agent = support.enter(serving.services, project.id, hello).agent.agent_id
    async with visitor(serving, project) as ann:
        answer = await press(ann, path(project, noun), **fields)
        page = await look(ann, project)
    assert answer.status_code == 409
    assert f"No {verb} &lt;here&gt;." in answer.text
    assert f"No {verb} &lt;here&gt;." in page
    assert (f"worker.{verb}", "refused") in await audited(serving.services.control, project.slug)


@pytest.mark.parametrize(
    ("noun", "fields"),
    [
        ("pool-changes", {"amount": "0"}),
        ("pool-changes", {"amount": "many"}),
        ("pool-changes", {"amount": "1001"}),
        ("rate-limits", {"rate": "10/m"}),
        ("rate-limits", {"task_name": "t", "rate": "x" * 41}),
    ],
    ids=["zero", "no number", "too many", "no name", "long rate"],
)
async def test_nonsense_is_not_valid(serving, shop, ann, noun, fields):
    assert (await press(ann, path(shop, noun), **fields)).status_code == 422
    assert await asked(serving, shop) == []


async def test_unknown_action_and_worker_are_not_found(serving, shop, ann):
    assert (await press(ann, path(shop, "dances"))).status_code == 404
    gone = path(shop, "drains").replace(shop.agent, "0" * 32)
    assert (await press(ann, gone)).status_code == 404


async def test_another_number_waits_for_the_first(serving, shop, ann):
    await press(ann, path(shop, "pool-changes"), amount="2")
    assert (await press(ann, path(shop, "pool-changes"), amount="2")).status_code == 303
    answer = await press(ann, path(shop, "pool-changes"), amount="3")
    assert answer.status_code == 409
    assert len(await asked(serving, shop)) == 1


async def test_worker_that_left_cannot_be_asked(serving, shop, ann):
    serving.services.registry.disconnect(shop.worker)
    answer = await press(ann, path(shop, "drains"))
    assert answer.status_code == 409
    assert "not connected" in answer.text
    assert "Not connected" in await look(ann, shop)


async def test_page_shows_what_it_is_and_runs(serving, shop, ann):
    task = (
        published("r-1", name="shop.pay"),
        started("r-1", name="shop.pay", worker=NAME, queue="emails"),
    )
    await record(serving, shop, *task)
    page = await look(ann, shop)
    assert NAME in page
    assert "pay-3.internal" in page
    assert "prefork · 1 of 4 busy" in page
    assert f"/p/{shop.slug}/queues/celery/{SOURCE}/emails" in page
    assert f"/p/{shop.slug}/tasks/celery/r-1" in page
    assert "shop.&lt;mail&gt;" in page
    assert "1 worker connected, 4 slots" in page


async def test_answer_is_shown_and_a_drained_worker_says_so(serving, shop, ann):
    await press(ann, path(shop, "drains"))
    page = await look(ann, shop)
    assert "Drained" not in page
    effect = "It takes nothing more; 0 tasks run."
    await support.answer_all(serving.services, shop.id, effect=effect)
    page = await look(ann, shop)
    assert "Drained" in page
    assert "by owner@shop.example" in page
    assert effect in page
    await press(ann, path(shop, "undrains"))
    await support.answer_all(serving.services, shop.id)
    assert "Drained" not in await look(ann, shop)


async def test_page_without_workers_says_how_to_get_them(serving, project):
    async with visitor(serving, project) as ann:
        page = await look(ann, project)
    assert "No worker has been connected within a day" in page
    assert f'href="/p/{project.slug}/connect"' in page


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_every_member_may_look(serving, shop, role):
    async with visitor(serving, shop, role) as client:
        assert NAME in await look(client, shop)
