# SPDX-License-Identifier: AGPL-3.0-only
"""Asking for a retry or a cancellation: what is allowed, what is refused and why, what is
recorded.
"""

import asyncio

import pytest
from tests.support.commands import ALLOW, SEAL_ID, SOURCE
from tests.support.control import audited, run_sql

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.commands.queries import CommandState, commands_of_task, find_command
from queuedeck.domain.commands.service import request_cancel, request_retry
from queuedeck.errors import Conflict, NotFound, NotSupported, Unavailable

ANN = Actor("user", "1", "ann@example.com", "session:1")


async def retry(desk, project, task_id="t1"):
    return await request_retry(desk, project, "celery", task_id, ANN)


async def cancel(desk, project, task_id="t1"):
    return await request_cancel(desk, project, "celery", task_id, ANN)


@pytest.mark.parametrize("state", ["failed", "succeeded", "cancelled", "lost"])
async def test_retry_of_an_ended_task_waits_for_an_agent(desk, project, state):
    task = await desk.task(project.id, state)
    desk.connect(project.id)
    command = await retry(desk, project)
    assert (command.state, command.verb, command.task_key) == ("pending", "retry", task.row.key)
    assert (command.source, command.seal_id, command.queue) == (SOURCE, SEAL_ID, "mail")
    assert command.requested_by == "user:ann@example.com"
    assert await find_command(desk.control, project.id, command.id) == command


async def test_retry_is_audited_and_tells_others_after_the_commit(desk, project):
    await desk.task(project.id)
    desk.connect(project.id)
    heard = desk.live.subscribe(project.id)
    command = await retry(desk, project)
    assert await audited(desk.control, "shop") == [
        ("project.create", "done"),
        ("task.retry", "requested"),
    ]
    assert desk.woken == [project.id]
    topics = await anext(heard.batches(0, 1))
    assert {f"command:{command.id}", "task:celery:t1", "audit"} <= topics


async def test_command_and_audit_entry_are_one_transaction(desk, project):
    await desk.task(project.id)
    desk.connect(project.id)
    run_sql(desk.control.database, "DROP TABLE audit_head")
    with pytest.raises(Unavailable):
        await retry(desk, project)
    assert run_sql(desk.control.database, "SELECT count(*) FROM commands") == [(0,)]
    assert desk.woken == []


async def test_double_click_is_one_retry(desk, project):
    task = await desk.task(project.id)
    desk.connect(project.id)
    first, *others = await asyncio.gather(*(retry(desk, project) for _ in range(8)))
    assert {other.id for other in others} == {first.id}
    assert len(await commands_of_task(desk.control, project.id, task.row.key)) == 1
    assert (await audited(desk.control, "shop")).count(("task.retry", "requested")) == 1


@pytest.mark.parametrize("state", ["queued", "running", "retrying"])
async def test_retry_is_refused_before_the_task_has_ended(desk, project, state):
    await desk.task(project.id, state)
    desk.connect(project.id)
    with pytest.raises(Conflict, match=rf"is {state}: it has not ended.*cancel it first"):
        await retry(desk, project)
    assert ("task.retry", "refused") in await audited(desk.control, "shop")


async def test_retry_is_refused_without_the_original_call(desk, project):
    await desk.task(project.id, sealed=b"")
    desk.connect(project.id)
    with pytest.raises(NotSupported, match="arguments of this task were not captured"):
        await retry(desk, project)


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        pytest.param(None, "No agent of this task's broker", id="no agent"),
        pytest.param({"source": "0" * 12}, "No agent of this task's broker", id="other broker"),
        pytest.param({"verbs": ("cancel",)}, "`retry` is not possible on celery", id="not able"),
        pytest.param({"allow": ("observe",)}, "Add `retry` to QUEUEDECK_ALLOW", id="not allowed"),
        pytest.param({"seal_ids": ()}, "QUEUEDECK_DSN_PREVIOUS", id="other sealing key"),
    ],
)
async def test_retry_is_refused_when_no_agent_can(desk, project, agent, reason):
    await desk.task(project.id)
    if agent is not None:
        desk.connect(project.id, **agent)
    with pytest.raises(NotSupported, match=reason):
        await retry(desk, project)
    assert ("task.retry", "refused") in await audited(desk.control, "shop")
    assert desk.woken == []


async def test_retry_waits_for_an_agent_that_was_here_today(desk, project, clock):
    await desk.task(project.id)
    desk.registry.disconnect(desk.connect(project.id))
    clock.advance(3_600)
    assert (await retry(desk, project)).state is CommandState.PENDING


async def test_retry_is_refused_when_the_agent_left_long_ago(desk, project, clock):
    await desk.task(project.id)
    desk.registry.disconnect(desk.connect(project.id))
    clock.advance(86_401)
    with pytest.raises(NotSupported, match="within a day"):
        await retry(desk, project)


async def test_agents_of_other_projects_do_not_count(desk, project, other_project):
    await desk.task(project.id)
    desk.connect(other_project.id)
    with pytest.raises(NotSupported):
        await retry(desk, project)


@pytest.mark.parametrize("ask", [retry, cancel])
async def test_tasks_and_commands_of_other_projects_are_hidden(desk, project, other_project, ask):
    task = await desk.task(project.id)
    desk.connect(project.id)
    command = await retry(desk, project)
    with pytest.raises(NotFound, match="no such task"):
        await ask(desk, other_project)
    with pytest.raises(NotFound, match="no such command"):
        await find_command(desk.control, other_project.id, command.id)
    assert await commands_of_task(desk.control, other_project.id, task.row.key) == []


@pytest.mark.parametrize("state", ["queued", "retrying"])
async def test_waiting_task_is_cancelled(desk, project, state):
    await desk.task(project.id, state)
    desk.connect(project.id)
    command = await cancel(desk, project)
    assert (command.verb, command.seal_id) == ("cancel", "")
    assert ("task.cancel", "requested") in await audited(desk.control, "shop")
    assert (await desk.history.find_task(project.id, "celery", "t1")).row.cancel_requested
    assert await desk.history.cancelled_waiting(project.id) == [(SOURCE, "t1")]


async def test_running_task_is_not_cancelled_unless_the_host_allows_it(desk, project):
    await desk.task(project.id, "running")
    desk.connect(project.id)
    with pytest.raises(NotSupported, match=r"is running.*Add `terminate` to QUEUEDECK_ALLOW"):
        await cancel(desk, project)
    assert ("task.terminate", "refused") in await audited(desk.control, "shop")
    assert not (await desk.history.find_task(project.id, "celery", "t1")).row.cancel_requested


async def test_running_task_is_terminated_where_the_host_allows_it(desk, project):
    await desk.task(project.id, "running")
    desk.connect(project.id, allow=(*ALLOW, "terminate"))
    assert (await cancel(desk, project)).verb == "terminate"


async def test_ended_task_is_not_cancelled(desk, project):
    await desk.task(project.id, "succeeded")
    desk.connect(project.id)
    with pytest.raises(Conflict, match=r"ended already \(succeeded\)"):
        await cancel(desk, project)
