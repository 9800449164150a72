# SPDX-License-Identifier: AGPL-3.0-only
"""What operators do with one task beside retry and cancel, and running a task by its name."""

import pytest
from tests.support.commands import SEAL_ID, SEALED, SOURCE, events_to
from tests.support.control import SHELL, audited

from queuedeck.domain.audit.queries import list_entries
from queuedeck.domain.commands import acts
from queuedeck.domain.commands.delivery import claim_for_agent
from queuedeck.domain.commands.entered import Entered
from queuedeck.domain.commands.queries import CommandState
from queuedeck.errors import Conflict, Invalid, NotFound, NotSupported
from queuedeck_agent import wire

VERBS = ("retry", "edit", "submit", "move", "priority", "requeue", "reconcile", "cancel")
ALLOW = ("observe", "retry", "cancel", "submit", "move", "priority")
ARGS = b'{"args": [7, {"~redacted": "token"}], "kwargs": {}}'


def connect(desk, project, **changes):
    return desk.connect(project.id, **({"verbs": VERBS, "allow": ALLOW} | changes))


async def a_task(desk, project, state="failed"):
    """One whose arguments were captured and sealed."""
    at = desk.clock()
    published = wire.TaskPublished(
        at, SOURCE, "t1", 1, "shop.pay", "mail", args=ARGS, sealed=SEALED
    )
    await desk.record(project.id, published, *events_to(state, at + 1, "t1"))


async def edit(desk, project, once="", **entered):
    return await acts.request_edit(
        desk, project, "celery", "t1", Entered(**entered), SHELL, once=once
    )


async def submit(desk, project, once="", source=SOURCE, name="shop.pay", **entered):
    return await acts.request_submit(
        desk, project, source, name, Entered(**entered), SHELL, once=once
    )


async def move(desk, project, queue="slow"):
    return await acts.request_move(desk, project, "celery", "t1", queue, SHELL)


async def prioritise(desk, project, priority=3):
    return await acts.request_priority(desk, project, "celery", "t1", priority, SHELL)


async def requeue(desk, project):
    return await acts.request_requeue(desk, project, "celery", "t1", SHELL)


async def reconcile(desk, project):
    return await acts.request_reconcile(desk, project, "celery", "t1", SHELL)


OF_TASK = [edit, move, prioritise, requeue, reconcile]


async def test_edit_takes_the_sealed_call_along_and_says_so_in_the_audit_log(desk, project):
    await a_task(desk, project)
    connect(desk, project)
    hidden = {"~redacted": "token"}
    command = await edit(desk, project, args=[8, hidden], queue="slow", priority=4, delay_s=5)
    assert (command.verb, command.seal_id, command.state) == ("edit", SEAL_ID, CommandState.PENDING)
    details = command.details
    assert (details.queue, details.priority, details.delay_s) == ("slow", 4, 5)
    assert details.args == b'{"args": [8, {"~redacted": "token"}], "kwargs": {}}'
    assert ("task.edit", "requested") in await audited(desk.control, "shop")


async def test_edit_goes_out_to_an_agent_with_its_details(desk, project):
    await a_task(desk, project)
    agent = connect(desk, project).agent
    await edit(desk, project, args=[8])
    [claimed] = await claim_for_agent(desk, project.id, agent)
    assert claimed.command.details.args == b'{"args": [8], "kwargs": {}}'
    assert claimed.sealed.startswith(SEAL_ID.encode())


async def test_edit_without_the_original_needs_whole_values(desk, project):
    await a_task(desk, project)
    connect(desk, project, seal_ids=())
    with pytest.raises(Invalid, match="Write the whole values"):
        await edit(desk, project, args=[8, {"~redacted": "token"}])
    assert (await edit(desk, project, args=[8, "new"])).seal_id == ""


async def test_same_edit_asked_twice_is_one_and_another_is_told(desk, project):
    await a_task(desk, project)
    connect(desk, project)
    first = await edit(desk, project, args=[8])
    assert (await edit(desk, project, args=[8])).id == first.id
    with pytest.raises(Conflict, match=r"asked for `edit` of the same task a moment ago"):
        await edit(desk, project, args=[9])
    assert ("task.edit", "refused") in await audited(desk.control, "shop")


async def test_form_sent_twice_is_carried_out_once_however_late(desk, project, clock):
    connect(desk, project)
    first = await submit(desk, project, once="form 1", args=[1])
    again = await submit(desk, project, once="form 1", args=[1])
    other = await submit(desk, project, once="form 2", args=[1])
    assert first.id == again.id != other.id
    with pytest.raises(Conflict, match="asked for already, and differently"):
        await submit(desk, project, once="form 1", args=[2])


async def test_submissions_of_a_name_do_not_wait_for_each_other(desk, project):
    connect(desk, project)
    first = await submit(desk, project, args=[1])
    second = await submit(desk, project, args=[2])
    assert first.id != second.id
    assert (first.task_name, first.engine, first.source) == ("shop.pay", "celery", SOURCE)


async def test_audit_log_names_the_submitted_task_and_not_its_arguments(desk, project):
    connect(desk, project)
    await submit(desk, project, kwargs={"password": "hunter2"})
    [entry] = [
        one
        for one in (await list_entries(desk.control, "shop")).entries
        if one.action == "name.submit"
    ]
    assert entry.target == f"name:celery:{SOURCE}:shop.pay"
    assert "hunter2" not in str(entry.payload)


@pytest.mark.parametrize(
    ("entered", "reason"),
    [
        ({"args": ["x" * 300_000]}, "larger than 256 KiB"),
        ({"args": [float("nan")]}, "cannot be written as JSON"),
        ({"priority": -1}, "A priority is a number"),
        ({"delay_s": 10**9}, "A delay is from 0"),
        ({"queue": "a\nb"}, "printable characters"),
        ({"args": [{"~redacted": "token"}]}, "Write the whole values"),
    ],
)
async def test_call_that_cannot_be_is_refused(desk, project, entered, reason):
    connect(desk, project)
    with pytest.raises(Invalid, match=reason):
        await submit(desk, project, **entered)


async def test_submission_needs_a_source_of_the_project(desk, project, other_project):
    connect(desk, project)
    with pytest.raises(NotFound):
        await submit(desk, other_project)
    with pytest.raises(Invalid, match="A task's name"):
        await submit(desk, project, name=" ")


@pytest.mark.parametrize(
    ("ask", "verb", "state"),
    [
        (move, "move", "queued"),
        (prioritise, "priority", "queued"),
        (requeue, "requeue", "failed"),
        (reconcile, "reconcile", "running"),
    ],
)
async def test_verb_is_asked_for(desk, project, ask, verb, state):
    await a_task(desk, project, state)
    connect(desk, project)
    assert (await ask(desk, project)).verb == verb
    assert (f"task.{verb}", "requested") in await audited(desk.control, "shop")
    assert desk.woken == [project.id]


@pytest.mark.parametrize(
    ("ask", "verb", "state", "reason"),
    [
        (edit, "edit", "running", "has not ended"),
        (move, "move", "failed", "waits in no queue"),
        (move, "move", "running", "only one that waits can be moved"),
        (prioritise, "priority", "succeeded", "waits in no queue"),
        (requeue, "requeue", "succeeded", "only what was given up"),
        (requeue, "requeue", "queued", "nothing was given up"),
    ],
)
async def test_state_that_does_not_allow_it_is_a_refusal_in_the_audit_log(
    desk, project, ask, verb, state, reason
):
    await a_task(desk, project, state)
    connect(desk, project)
    with pytest.raises(Conflict, match=reason):
        await ask(desk, project)
    assert (f"task.{verb}", "refused") in await audited(desk.control, "shop")


@pytest.mark.parametrize("ask", OF_TASK)
async def test_host_that_does_not_allow_it_is_named(desk, project, ask):
    state = "queued" if ask in (move, prioritise) else "failed"
    await a_task(desk, project, state)
    connect(desk, project, allow=())
    with pytest.raises(NotSupported, match="QUEUEDECK_ALLOW"):
        await ask(desk, project)


@pytest.mark.parametrize("ask", OF_TASK)
async def test_tasks_of_other_projects_are_hidden(desk, project, other_project, ask):
    await a_task(desk, project)
    connect(desk, project)
    with pytest.raises(NotFound):
        await ask(desk, other_project)


async def test_move_needs_another_queue(desk, project):
    await a_task(desk, project, "queued")
    connect(desk, project)
    with pytest.raises(Invalid, match="in `mail` already"):
        await move(desk, project, "mail")
    with pytest.raises(Invalid, match="to which queue"):
        await move(desk, project, " ")
