# SPDX-License-Identifier: AGPL-3.0-only
"""The other actions of a task's page: what is shown, what is asked for, what the answer says."""

import re

import pytest
from tests.support.history_events import SOURCE
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, press, record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.commands.delivery import apply_results
from queuedeck.domain.commands.queries import commands_of_task
from queuedeck_agent import wire

VERBS = (
    *("retry", "edit", "cancel", "terminate", "move", "priority", "requeue", "reconcile"),
    "submit",
)
ALLOW = ("observe", "retry", "cancel", "terminate", "submit", "move", "priority")
HIDDEN = b'{"args": [7, {"~redacted": "token"}], "kwargs": {"region": "eu-2"}}'
INFO = wire.TaskInfo(
    "shop.capture_payment",
    "Captures a payment.",
    "shop",
    "payments",
    (
        wire.Parameter("order", "either", True, "", "int"),
        wire.Parameter("token", "either", True),
        wire.Parameter("region", "named", False, '"us-1"'),
    ),
    True,
    3,
)


@pytest.fixture
async def shop(serving, project):
    """A failed and a waiting task, and an agent that could act on both in every way."""
    await record(serving, project, *a_failed_task(args=HIDDEN), *a_waiting_task())
    verbs = tuple(wire.Capability(verb, "native", f"{verb} by hand.") for verb in VERBS)
    engine = wire.EngineInfo(
        "celery", "5.6.3", SOURCE, "worker", "celery@pay-3", "prefork", 4, ("emails", "slow"), verbs
    )
    connection = connect_agent(serving, project, allow=ALLOW, engines=(engine,))
    serving.services.registry.learn(connection, wire.TaskCatalog(SOURCE, (INFO,)))
    project.connection = connection
    return project


def path(project, task_id, noun=""):
    return f"/p/{project.slug}/tasks/celery/{task_id}" + (f"/{noun}" if noun else "")


async def asked(serving, project, task_id):
    task = await serving.services.history.find_task(project.id, "celery", task_id)
    return await commands_of_task(serving.services.control, project.id, task.row.key)


def fields(page):
    """The names of the text fields of the form, in order, with what is in them."""
    return dict(re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n?([^<]*)</textarea>', page))


ACTS = [
    ("t-2", "moves", {"queue": "slow"}, "move"),
    ("t-2", "priorities", {"priority": "5"}, "priority"),
    ("t-1", "requeues", {}, "requeue"),
    ("t-1", "reconciliations", {}, "reconcile"),
]
each_act = pytest.mark.parametrize(("task_id", "noun", "form", "verb"), ACTS, ids=lambda x: str(x))


@each_act
async def test_action_is_asked_for_and_comes_back(serving, shop, task_id, noun, form, verb):
    async with visitor(serving, shop, Role.OPERATOR) as bob:
        answer = await press(bob, path(shop, task_id, noun), **form)
    assert (answer.status_code, answer.headers["location"]) == (303, path(shop, task_id))
    assert [command.verb for command in await asked(serving, shop, task_id)] == [verb]


@pytest.mark.parametrize(
    ("noun", "form", "why"),
    [
        ("moves", {"queue": ""}, "Say to which queue"),
        ("moves", {"queue": "emails"}, "in `emails` already"),
        ("priorities", {"priority": "high"}, "a whole number"),
    ],
)
async def test_bad_input_is_refused_with_words(serving, shop, noun, form, why):
    async with visitor(serving, shop) as ann:
        answer = await press(ann, path(shop, "t-2", noun), **form)
    assert (answer.status_code, why in answer.text) == (422, True)
    assert await asked(serving, shop, "t-2") == []


async def test_page_offers_what_is_possible_and_says_why_the_rest_is_not(serving, shop):
    async with visitor(serving, shop) as ann:
        failed, waiting = [(await ann.get(path(shop, one))).text for one in ("t-1", "t-2")]
    assert "/tasks/celery/t-1/edits?key=" in failed
    assert "it waits in no queue" in failed
    assert 'id="ask-move"' not in failed
    assert 'id="ask-move"' in waiting
    assert '<option value="slow">' in waiting
    assert "it has not ended" in waiting.replace("&#39;", "'")


async def test_running_task_is_terminated_after_a_dialog_in_the_engines_words(serving, shop):
    at_us = a_waiting_task()[0].at_us
    started = wire.TaskStarted(at_us, SOURCE, "t-2", 1, "shop.x", "celery@pay-3")
    await record(serving, shop, started, lane="b" * 32)
    async with visitor(serving, shop) as ann:
        page = (await ann.get(path(shop, "t-2"))).text
    dialog = re.search(r'<dialog id="ask-terminate".*?</dialog>', page, re.DOTALL)[0]
    assert "terminate by hand." in dialog
    assert 'popovertarget="ask-terminate"' in page


async def test_viewer_sees_no_way_in(serving, shop):
    async with visitor(serving, shop, Role.VIEWER) as viewer:
        page = (await viewer.get(path(shop, "t-1"))).text
        form = await viewer.get(path(shop, "t-1", "edits"))
    assert "this needs an operator" in page
    assert "/edits?key=" not in page
    assert form.status_code == 403


async def test_edit_form_is_filled_and_hides_what_was_hidden(serving, shop):
    async with visitor(serving, shop) as ann:
        page = (await ann.get(path(shop, "t-1", "edits"))).text
    assert fields(page) == {"arg.0": "7", "arg.1": "", "arg..region": "&#34;eu-2&#34;"}
    assert "Left empty, the original value stays." in page
    assert "Captures a payment." in page


async def test_edit_is_sent_with_what_was_hidden_left_in_place(serving, shop):
    form = {"arg.0": "8", "arg.1": "", "arg..region": '"eu-3"', "queue": "slow", "delay_s": "60"}
    async with visitor(serving, shop) as ann:
        answer = await press(ann, path(shop, "t-1", "edits"), once="1", **form)
    [command] = await asked(serving, shop, "t-1")
    assert answer.status_code == 303
    assert command.details.args == (
        b'{"args": [8, {"~redacted": "token"}], "kwargs": {"region": "eu-3"}}'
    )
    assert (command.details.queue, command.details.delay_s) == ("slow", 60)
    assert command.seal_id


async def test_retry_later_asks_when_and_is_asked_for_with_it(serving, shop):
    async with visitor(serving, shop) as ann:
        page = (await ann.get(path(shop, "t-1"))).text
        wrong = await press(ann, path(shop, "t-1", "retries"), later="soon")
        await press(ann, path(shop, "t-1", "retries"), later="30m")
    assert 'popovertarget="ask-later"' in page
    assert 'name="later"' in page
    assert (wrong.status_code, "is no time" in wrong.text) == (422, True)
    [command] = await asked(serving, shop, "t-1")
    assert (command.verb, command.details.delay_s) == ("retry", 1_800)


async def test_edit_with_mistakes_says_so_at_the_places_and_keeps_what_was_written(serving, shop):
    form = {"arg.0": "eight", "arg.1": "", "arg..region": "", "priority": "high"}
    async with visitor(serving, shop) as ann:
        answer = await press(ann, path(shop, "t-1", "edits"), **form)
    assert answer.status_code == 422
    assert "A text needs quotes: &#34;eight&#34;" in answer.text
    assert "This is a whole number, or nothing." in answer.text
    assert fields(answer.text)["arg.0"] == "eight"
    assert await asked(serving, shop, "t-1") == []


async def test_task_is_run_by_its_name(serving, shop):
    async with visitor(serving, shop) as ann:
        url = f"/p/{shop.slug}/submissions"
        page = (await ann.get(f"{url}?source={SOURCE}&task=shop.capture_payment")).text
        form = {"arg..order": "9", "arg..token": '"t"', "arg..region": ""}
        about = {"source": SOURCE, "task": "shop.capture_payment", "once": "1"}
        answer = await press(ann, url, **about, **form)
        again = await press(ann, url, **about, **form)
        shown = (await ann.get(answer.headers["location"])).text
        command_id = answer.headers["location"].rpartition("/")[2]
        refilled = (await ann.get(f"{url}?again={command_id}")).text
    assert "shop.capture_payment(order: int, token, *, region=&#34;us-1&#34;)" in page
    assert fields(page)["arg..region"] == "&#34;us-1&#34;"
    assert again.headers["location"] == answer.headers["location"]
    assert re.search("Submission (requested, waiting for|sent to) an agent", shown)
    assert (fields(refilled)["arg..order"], fields(refilled)["arg..token"]) == ("9", "")


async def test_task_is_run_like_another_and_hidden_values_are_asked_for(serving, shop):
    async with visitor(serving, shop) as ann:
        failed = (await ann.get(path(shop, "t-1"))).text
        link = re.search(r'href="(/p/[^"]+/submissions\?[^"]+)"', failed)[1].replace("&amp;", "&")
        page = (await ann.get(link)).text
        form = {"source": SOURCE, "task": "shop.capture_payment", "lock:arg.1": "token"}
        refused = await press(
            ann, f"/p/{shop.slug}/submissions", **form, **{"arg.0": "7", "arg.1": ""}
        )
        done = await press(
            ann, f"/p/{shop.slug}/submissions", **form, **{"arg.0": "7", "arg.1": '"new"'}
        )
    assert fields(page) == {"arg.0": "7", "arg.1": "", "arg..region": "&#34;eu-2&#34;"}
    assert "nobody has the original. Write the whole value." in refused.text
    assert done.status_code == 303


async def test_new_task_that_waits_can_be_cancelled_from_the_old_ones_page(serving, shop):
    async with visitor(serving, shop) as ann:
        await press(ann, path(shop, "t-1", "retries"))
        [command] = await asked(serving, shop, "t-1")
        done = wire.CommandDone(1, command.id, "Sent again.", "t-9")
        new = a_waiting_task("t-9")
        await record(serving, shop, *new, done, lane="c" * 32)
        await apply_results(serving.services, shop.id, [done])
        page = (await ann.get(path(shop, "t-1"))).text
    assert f'action="{path(shop, "t-9", "cancellations")}"' in page
    assert "Cancel it" in page


async def test_answer_of_the_engine_is_told_in_words(serving, shop):
    async with visitor(serving, shop) as ann:
        await press(ann, path(shop, "t-1", "reconciliations"))
        [command] = await asked(serving, shop, "t-1")
        found = b'{"state": "failed", "where": "in the result backend"}'
        done = wire.CommandDone(1, command.id, "", found=found)
        await apply_results(serving.services, shop.id, [done])
        page = (await ann.get(path(shop, "t-1"))).text
    assert "Celery says: it failed. In the result backend." in page
