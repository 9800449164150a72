# SPDX-License-Identifier: AGPL-3.0-only
"""The page of one queue: its numbers, what an agent saw in it, and what can be done to it."""

import json
import re

import msgspec
import pytest
from tests.support import queues as support
from tests.support.control import audited
from tests.support.history_events import SOURCE
from tests.support.pages import a_waiting_task, press, record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.queues.commands import commands_of
from queuedeck.domain.queues.pauses import pauses_of
from queuedeck.domain.queues.queue import QueueRef
from queuedeck_agent import wire

QUEUE = QueueRef("celery", SOURCE, "emails")
SECRET = b'{"args": [{"~redacted": "token"}, 7], "kwargs": {}}'


def an_engine(**more):
    return support.an_engine(("emails",), source=SOURCE, worker="celery@pay-3", **more)


@pytest.fixture
async def shop(serving, project):
    """A queue with a waiting task, and a worker that could do anything."""
    await record(serving, project, *a_waiting_task())
    support.enter(serving.services, project.id, support.a_worker(an_engine()))
    return project


@pytest.fixture
async def ann(serving, shop):
    async with visitor(serving, shop) as client:
        yield client


def path(project, noun="", queue="emails"):
    return f"/p/{project.slug}/queues/celery/{SOURCE}/{queue}" + (f"/{noun}" if noun else "")


async def look(client, project):
    answer = await client.get(path(project))
    assert answer.status_code == 200, answer.text
    return answer.text


async def asked(serving, project):
    return await commands_of(serving.services.control, project.id, QUEUE.target)


async def say(serving, project, **said):
    """The worker's agent answers what it was asked."""
    await support.answer_all(serving.services, project.id, **said)


ACTIONS = [
    ("pauses", {"reason": "deploy"}, "queue.pause"),
    ("purges", {"name": "emails"}, "queue.purge"),
    ("peeks", {}, "queue.peek"),
    ("dead-letters", {}, "queue.dead"),
    ("requeues", {"ids": "d1"}, "queue.requeue"),
]
each_action = pytest.mark.parametrize(
    ("noun", "fields", "action"), ACTIONS, ids=[noun for noun, _, _ in ACTIONS]
)


@each_action
async def test_button_asks_an_agent_and_comes_back(serving, shop, ann, noun, fields, action):
    answer = await press(ann, path(shop, noun), **fields)
    assert (answer.status_code, answer.headers["location"]) == (303, path(shop))
    assert [one.verb for one in await asked(serving, shop)] == [action.partition(".")[2]]
    assert (action, "requested") in await audited(serving.services.control, shop.slug)


@each_action
async def test_button_by_htmx_says_requested(serving, shop, ann, noun, fields, action):
    headers = {"HX-Request": "true", "X-CSRF-Token": ann.csrf}
    answer = await ann.post(path(shop, noun), data=fields, headers=headers)
    assert answer.status_code == 204
    toast = json.loads(answer.headers["hx-trigger"])["queuedeck:toast"]
    assert toast["state"] == "queued"
    assert " done" not in toast["text"]


@each_action
async def test_viewer_is_refused_and_that_is_written_down(serving, shop, noun, fields, action):
    async with visitor(serving, shop, Role.VIEWER) as viewer:
        assert (await press(viewer, path(shop, noun), **fields)).status_code == 403
        page = await look(viewer, shop)
    assert await asked(serving, shop) == []
    assert "Your role here is viewer; this needs an operator." in page
    refused = [
        a
        for a, outcome in await audited(serving.services.control, shop.slug)
        if outcome == "refused"
    ]
    assert len(refused) == 1


@each_action
async def test_other_projects_do_not_exist(serving, shop, noun, fields, action):
    other = await serving.project("Other")
    async with visitor(serving, other) as stranger:
        assert (await press(stranger, path(shop, noun), **fields)).status_code == 404
        # Not in their own project either: the queue is not theirs.
        assert (await press(stranger, path(other, noun), **fields)).status_code == 404
    assert await asked(serving, shop) == []


@each_action
async def test_impossible_says_why_on_the_page_and_to_who_asks(
    serving, project, noun, fields, action
):
    await record(serving, project, *a_waiting_task())
    why = {verb: f"No {verb} <here>." for verb in wire.VERBS}
    support.enter(serving.services, project.id, support.a_worker(an_engine(without=why)))
    async with visitor(serving, project) as ann:
        answer = await press(ann, path(project, noun), **fields)
        page = await look(ann, project)
    verb = action.partition(".")[2]
    assert answer.status_code == 409
    assert f"No {verb} &lt;here&gt;." in answer.text
    assert verb == "requeue" or f"No {verb} &lt;here&gt;." in page
    assert (action, "refused") in await audited(serving.services.control, project.slug)
    assert await asked(serving, project) == []


async def test_page_shows_numbers_workers_and_tasks(serving, shop, ann):
    now = serving.services.clock()
    depth = wire.QueueDepth("emails", 1_234, 5, 2, 1, now - 250_000_000, 3)
    serving.services.watches.take(shop.id, "c" * 32, wire.QueueSnapshot(now, SOURCE, (depth,)))
    page = await look(ann, shop)
    assert 'id="depth">1\u202f234<' in page
    assert "5 scheduled" in page
    assert "4 m 1" in page
    assert "celery@pay-3" in page
    assert "2 consumers more, without the agent" in page
    assert f'href="/p/{shop.slug}/tasks?q=queue:emails' in page


async def test_unknown_queue_is_not_found(serving, shop, ann):
    for url in (path(shop, queue="nope"), path(shop).replace("celery", "rq", 1)):
        assert (await ann.get(url)).status_code == 404
        assert (await press(ann, url + "/peeks")).status_code == 404


async def test_names_with_slashes_have_a_page(serving, shop, ann):
    hello = support.a_worker(support.an_engine(("a/b <c>",), source=SOURCE))
    support.enter(serving.services, shop.id, hello)
    answer = await ann.get(path(shop, queue="a%2Fb%20%3Cc%3E"))
    assert answer.status_code == 200
    assert "a/b &lt;c&gt;" in answer.text


async def test_purge_needs_the_name_typed_exactly(serving, shop, ann):
    for name in ("", "email", "Emails", "emails "):
        assert (await press(ann, path(shop, "purges"), name=name)).status_code == 422
    assert await asked(serving, shop) == []


async def test_purge_says_how_many_once_the_agent_has(serving, shop, ann):
    await press(ann, path(shop, "purges"), name="emails")
    page = await look(ann, shop)
    assert "Purge sent to an agent" in page or "Purge requested" in page
    assert "Purge done" not in page
    await say(serving, shop, effect="12 messages were removed from `emails`.", affected=12)
    page = await look(ann, shop)
    assert "Purge done" in page
    assert "12 messages were removed" in page


async def test_first_messages_appear_redacted(serving, shop, ann):
    await press(ann, path(shop, "peeks"))
    message = {
        "id": "t-2",
        "name": "shop.<b>send",
        "args": msgspec.Raw(SECRET),
        "at_us": 1,
        "attempt": 2,
    }
    found = msgspec.json.encode([message])
    await say(serving, shop, effect="Read-only.", found=found, affected=40)
    page = await look(ann, shop)
    assert "read-only; nothing is taken" in page
    assert "shop.&lt;b&gt;send" in page
    assert "hidden by rule “token”" in page
    assert "1 message of 40" in page
    assert f"/p/{shop.slug}/tasks/celery/t-2" in page


async def test_nonsense_that_an_agent_found_breaks_no_page(serving, shop, ann):
    await press(ann, path(shop, "peeks"))
    await say(serving, shop, found=b'{"not": "a list"')
    assert 'class="messages"' not in await look(ann, shop)


async def test_dead_letters_are_put_back_one_some_or_all(serving, shop, ann):
    letters = [{"id": f"d{n}", "name": "shop.pay", "error": "ValueError: <no>"} for n in "123"]
    await press(ann, path(shop, "dead-letters"))
    await say(serving, shop, found=msgspec.json.encode(letters))
    page = await look(ann, shop)
    assert "ValueError: &lt;no&gt;" in page
    listed = re.search(r'name="all" value="(\w+)"', page)[1]
    presses = [
        ({"one": "d2", "ids": ["d1", "d3"]}, ("d2",)),
        ({"ids": ["d1", "d3"], "chosen": "1"}, ("d1", "d3")),
        ({"all": listed}, ("d1", "d2", "d3")),
    ]
    for fields, ids in presses:
        assert (await press(ann, path(shop, "requeues"), **fields)).status_code == 303
        assert (await asked(serving, shop))[0].details.ids == ids
        await say(serving, shop, affected=len(ids))
    assert "put back" in await look(ann, shop)


async def test_other_dead_letters_wait_while_some_are_on_their_way(serving, shop, ann):
    await press(ann, path(shop, "requeues"), ids="d1")
    answer = await press(ann, path(shop, "requeues"), ids="d2")
    assert answer.status_code == 409
    assert "on their way" in answer.text
    assert [one.details.ids for one in await asked(serving, shop)] == [("d1",)]


async def test_requeue_of_nothing_is_not_valid(serving, shop, ann):
    assert (await press(ann, path(shop, "requeues"))).status_code == 422
    many = [f"d{n}" for n in range(101)]
    assert (await press(ann, path(shop, "requeues"), ids=many)).status_code == 422


async def test_pause_is_never_called_paused_before_a_worker_said_so(serving, shop, ann):
    await press(ann, path(shop, "pauses"), reason="deploy <1>", minutes="30")
    page = await look(ann, shop)
    assert "is pausing, 0 of 1 worker confirmed" in page
    assert "is paused" not in page
    assert "deploy &lt;1&gt;" in page
    assert "Resumes at" in page
    await say(serving, shop, effect="This worker no longer takes from `emails`.")
    page = await look(ann, shop)
    assert "is paused" in page
    assert "no longer takes from" in page


async def test_pause_is_on_every_page_until_it_is_resumed(serving, shop, ann):
    await press(ann, path(shop, "pauses"), reason="the bank is down")
    await say(serving, shop)
    pages = ("queues", "tasks", "agents", "workers", "errors", "audit")
    for name in pages:
        page = (await ann.get(f"/p/{shop.slug}/{name}")).text
        assert "the bank is down" in page, name
        assert "owner@shop.example" in page, name
    await press(ann, path(shop, "resumptions"))
    for name in pages[:-1]:
        assert "the bank is down" not in (await ann.get(f"/p/{shop.slug}/{name}")).text, name
    assert [one.verb for one in await asked(serving, shop)] == ["resume", "pause"]


async def test_tasks_that_wait_there_say_so(serving, shop, ann):
    tasks, task = f"/p/{shop.slug}/tasks", f"/p/{shop.slug}/tasks/celery/t-2"
    assert "queue paused</span>" not in (await ann.get(tasks)).text
    await press(ann, path(shop, "pauses"), reason="deploy")
    assert "queue paused</span>" in (await ann.get(tasks)).text
    assert "It waits in emails, which is pausing" in (await ann.get(task)).text
    await press(ann, path(shop, "resumptions"))
    assert "queue paused</span>" not in (await ann.get(tasks)).text
    assert "It waits in emails" not in (await ann.get(task)).text


async def test_list_shows_who_paused_and_how_far_it_is(serving, shop, ann):
    await press(ann, path(shop, "pauses"), reason="deploy")
    page = (await ann.get(f"/p/{shop.slug}/queues")).text
    assert "Pausing 0 of 1" in page
    await say(serving, shop)
    page = (await ann.get(f"/p/{shop.slug}/queues")).text
    assert "Paused" in page.partition('<tbody id="queues">')[2]


async def test_pause_without_a_reason_is_not_valid(serving, shop, ann):
    for fields in (
        {"reason": " "},
        {"reason": "x", "minutes": "soon"},
        {"reason": "x", "minutes": "0"},
    ):
        assert (await press(ann, path(shop, "pauses"), **fields)).status_code == 422
    assert await pauses_of(serving.services, shop.id) == []


async def test_resume_of_what_is_not_paused_says_so(serving, shop, ann):
    answer = await press(ann, path(shop, "resumptions"))
    assert answer.status_code == 409
    assert "not paused" in answer.text


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_every_member_may_look(serving, shop, role):
    async with visitor(serving, shop, role) as client:
        assert (await client.get(path(shop))).status_code == 200
