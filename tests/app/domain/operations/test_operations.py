# SPDX-License-Identifier: AGPL-3.0-only
"""Operations from preview to end: nothing wider than asked, nothing twice, all counted."""

import asyncio

import msgspec
import pytest
from tests.support.commands import SEALED, SOURCE
from tests.support.control import SHELL, audited

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit.queries import list_entries
from queuedeck.domain.commands.delivery import LEASE_US, expire_due
from queuedeck.domain.commands.service import request_retry
from queuedeck.domain.operations.queries import every_outcome, list_operations, read_groups
from queuedeck.domain.tasks.reader import FilterInvalid
from queuedeck.errors import Conflict, Invalid, NotFound
from queuedeck.history.failures import FailureOrder
from queuedeck_agent import wire

ANN = Actor("user", "1", "ann@shop.example", "session:1")
BOB = Actor("user", "2", "bob@shop.example", "session:2")
ALL = ("retry", "cancel", "terminate", "move", "priority", "requeue")


@pytest.fixture
def agent(desk, project):
    return desk.connect(project.id)


async def test_preview_counts_what_it_would_do_and_what_not(bench, agent):
    await bench.tasks(3)
    await bench.tasks(2, prefix="bare", sealed=b"")
    await bench.tasks(1, prefix="run", state="running")
    seen = await bench.preview(question="task:shop.pay")
    assert (seen.total, seen.acts, seen.waits) == (6, 3, 0)
    (part,) = seen.parts
    assert (part.engine, part.queue, part.state, part.count) == ("celery", "mail", "failed", 3)
    assert {(skip.code, skip.count) for skip in seen.skipped} == {("call", 2), ("state", 1)}


async def test_preview_says_which_host_does_not_allow_it(bench, desk, project):
    await bench.tasks(2)
    desk.connect(project.id, allow=("observe",))
    (skip,) = (await bench.preview()).skipped
    assert (skip.code, skip.count, skip.engine) == ("policy", 2, "celery")
    assert "QUEUEDECK_ALLOW" in skip.message


async def test_preview_says_what_the_engine_cannot_do(bench, desk, project):
    await bench.tasks(2, state="queued")
    said = wire.Capability("move", "none", "Its messages cannot be moved.")
    engine = wire.EngineInfo("celery", "5.6", SOURCE, "worker", capabilities=(said,))
    desk.connect(project.id, engines=(engine,))
    seen = await bench.preview(verb="move", question="state:queued", queue="other")
    assert seen.acts == 0
    assert "Its messages cannot be moved." in seen.skipped[0].message


async def test_preview_without_any_agent_acts_on_nothing(bench):
    await bench.tasks(2)
    seen = await bench.preview()
    assert (seen.acts, seen.skipped[0].code) == (0, "agent")


async def test_preview_with_an_agent_that_is_away_says_that_they_wait(bench, desk, agent):
    await bench.tasks(2)
    desk.registry.disconnect(agent)
    seen = await bench.preview()
    assert (seen.acts, seen.waits) == (2, 2)


async def test_preview_warns_of_a_key_that_nobody_holds(bench, agent):
    await bench.tasks(2, sealed=b"ffffffff" + SEALED[8:])
    (warning,) = (await bench.preview()).warnings
    assert "ffffffff" in warning


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"question": "stat:failed"}, FilterInvalid),
        ({"question": ""}, Invalid),
        ({"question": "  "}, Invalid),
        ({"verb": "purge"}, Invalid),
        ({"keys": (1,)}, Invalid),
        ({"verb": "move"}, Invalid),
        ({"verb": "priority"}, Invalid),
        ({"question": "", "keys": range(10_001)}, Invalid),
    ],
)
async def test_what_is_not_understood_is_never_a_wider_selection(bench, asked, error):
    with pytest.raises(error):
        bench.ask(**asked)


async def test_set_is_frozen_when_it_is_confirmed(bench, agent):
    await bench.tasks(3)
    operation = await bench.confirm()
    bench.clock.advance(1)
    await bench.tasks(2, prefix="late")
    await bench.step()
    assert (await bench.find(operation)).state == "armed"
    assert {task.task_id for task in await bench.outcomes(operation)} == {"t0", "t1", "t2"}


async def test_only_the_tasks_of_a_failure_group_are_frozen(bench, agent, desk, project):
    """All have the same name and type of error; they failed in two places."""
    await desk.task(project.id, "running", "here")
    await desk.task(project.id, "running", "there")
    for task_id, function in (("here", "send"), ("there", "render")):
        trace = f'  File "/srv/app/mail.py", line 3, in {function}\n    x()\nValueError: no\n'
        end = wire.TaskFailed(
            bench.clock(), SOURCE, task_id, 1, "ValueError", traceback=trace, message="no"
        )
        await desk.record(project.id, end)
    found = await desk.history.failure_groups(project.id, FailureOrder.LAST, 0, 9)
    group = next(one for one in found.groups if one.culprit.endswith("render"))
    operation = await bench.confirm(question=f"state:failed group:{group.fingerprint}")
    await bench.step()
    assert [task.task_id for task in await bench.outcomes(operation)] == ["there"]


async def test_named_tasks_are_frozen_and_no_other(bench, agent, desk, project):
    await bench.tasks(4)
    keys = [
        (await desk.history.find_task(project.id, "celery", task_id)).row.key
        for task_id in ("t1", "t3")
    ]
    operation = await bench.confirm(question="", keys=[*keys, keys[0], 1 << 50])
    await bench.step()
    assert {task.task_id for task in await bench.outcomes(operation)} == {"t1", "t3"}


async def test_tasks_of_another_project_cannot_be_named(bench, agent, desk, other_project):
    foreign = await desk.task(other_project.id)
    seen = await bench.preview(question="", keys=[foreign.row.key])
    assert (seen.acts, seen.skipped[0].code) == (0, "gone")


async def test_nothing_leaves_in_the_armed_time(bench, agent):
    await bench.tasks(3)
    operation = await bench.confirm()
    await bench.step(10, seconds=0.9)
    assert (await bench.find(operation)).state == "armed"
    assert await bench.claim(agent) == []


async def test_disarmed_operation_never_acts(bench, agent):
    await bench.tasks(3)
    operation = await bench.confirm()
    await bench.step(2)
    await bench.press("disarm", operation)
    await bench.step(30)
    found, tally = await bench.find(operation), await bench.tally(operation)
    assert (found.state, tally.stopped, tally.total) == ("disarmed", 3, 3)
    assert await bench.claim(agent) == []


async def test_operation_can_be_disarmed_while_its_set_is_frozen(bench, agent, monkeypatch):
    monkeypatch.setattr("queuedeck.domain.operations.selection.PORTION", 2)
    monkeypatch.setattr("queuedeck.domain.operations.progress.PORTIONS", 1)
    await bench.tasks(5)
    operation = await bench.confirm()
    await bench.step(seconds=0)
    assert (await bench.find(operation)).state == "freezing"
    await bench.press("disarm", operation)
    await bench.step(3)
    found, tally = await bench.find(operation), await bench.tally(operation)
    assert (found.state, tally.stopped, tally.total) == ("disarmed", 2, 2)


async def test_every_task_is_done_once_and_counted(bench, agent, desk):
    await bench.tasks(25)
    await bench.tasks(2, prefix="bare", sealed=b"")
    operation = await bench.started(reason="bad deploy")
    found = await bench.run(operation, agent)
    tally = await bench.tally(operation)
    assert (found.state, tally.done, tally.skipped, tally.total) == ("finished", 25, 2, 27)
    new = {task.new_task_id for task in await bench.outcomes(operation, "done")}
    assert new == {f"again-t{n}" for n in range(25)}


async def test_freezing_in_portions_finds_every_task_once(bench, agent, monkeypatch):
    monkeypatch.setattr("queuedeck.domain.operations.selection.PORTION", 7)
    await bench.tasks(50)
    operation = await bench.started()
    assert (await bench.tally(operation)).total == 50


async def test_commands_leave_at_the_chosen_rate(bench, agent):
    await bench.tasks(60)
    operation = await bench.started(rate=10)
    left = []
    for _ in range(5):
        await bench.step()
        claimed = await bench.claim(agent)
        await bench.answer(claimed)
        left.append(len(claimed))
    assert left == [10] * 5
    assert operation.state == "running"


async def test_time_in_which_the_server_was_away_is_not_made_up_for(bench, agent):
    await bench.tasks(60)
    await bench.started(rate=10)
    await bench.step(seconds=600)
    assert len(await bench.claim(agent)) == 10


async def test_no_more_than_200_are_open_at_once(bench, agent):
    await bench.tasks(300)
    operation = await bench.started(rate=500)
    await bench.step(3)
    assert (await bench.tally(operation)).open == 200


async def test_limit_of_a_host_slows_it_down_and_loses_nothing(bench, agent):
    await bench.tasks(30)
    operation = await bench.started(rate=20)
    await bench.step()
    refused = await bench.claim(agent)
    assert len(refused) == 20
    await bench.answer(refused, code="rate")
    found, tally = await bench.find(operation), await bench.tally(operation)
    assert (found.slowed_rate, tally.waiting, tally.failed) == (10, 30, 0)
    assert "said rate" in found.note
    await bench.step()
    assert await bench.claim(agent) == []
    await bench.run(operation, agent)
    assert (await bench.tally(operation)).done == 30


async def test_canary_waits_for_the_new_tasks_themselves(bench, agent):
    await bench.tasks(10)
    operation = await bench.started(canary=5)
    await bench.step(3)
    await bench.answer(await bench.claim(agent), run="running")
    await bench.step(5)
    assert (await bench.tally(operation)).done == 5
    assert (await bench.find(operation)).canary_state == "trying"


async def test_canary_that_went_well_lets_the_rest_go(bench, agent):
    await bench.tasks(10)
    operation = await bench.started(canary=5)
    found = await bench.run(operation, agent)
    assert (found.state, found.canary_state) == ("finished", "passed")
    assert sum(task.is_canary for task in await bench.outcomes(operation)) == 5
    assert (await bench.tally(operation)).done == 10


async def test_canary_that_failed_pauses_and_says_so(bench, agent):
    await bench.tasks(10)
    operation = await bench.started(canary=5)
    found = await bench.run(operation, agent, run="failed")
    assert (found.state, found.canary_state) == ("paused", "failed")
    assert "0 of the first 5" in found.note
    tally = await bench.tally(operation)
    assert (tally.done, tally.waiting) == (5, 5)
    assert ("operation.pause", "done") in await audited(bench.desk.control, "shop")
    await bench.press("resume", operation)
    await bench.run(operation, agent)
    assert (await bench.tally(operation)).done == 10


async def test_pause_takes_back_what_no_agent_has(bench, agent):
    await bench.tasks(20)
    operation = await bench.started(rate=10)
    await bench.step()
    await bench.press("pause", operation)
    assert await bench.claim(agent) == []
    await bench.step(5)
    assert (await bench.tally(operation)).waiting == 20
    await bench.press("resume", operation)
    await bench.run(operation, agent)
    assert (await bench.tally(operation)).done == 20


async def test_stop_lets_end_what_is_on_its_way_and_leaves_the_rest(bench, agent):
    await bench.tasks(30)
    operation = await bench.started(rate=10)
    await bench.step()
    claimed = await bench.claim(agent)
    await bench.press("stop", operation)
    await bench.step(3)
    assert (await bench.find(operation)).state == "stopping"
    await bench.answer(claimed)
    await bench.step(2)
    found, tally = await bench.find(operation), await bench.tally(operation)
    assert (found.state, tally.done, tally.stopped) == ("stopped", 10, 20)


async def test_agent_that_died_leaves_unknown_and_nothing_is_repeated(bench, agent, desk):
    await bench.tasks(4)
    operation = await bench.started()
    await bench.step()
    claimed = await bench.claim(agent)
    bench.clock.advance(LEASE_US / SECOND_US + 1)
    await expire_due(desk)
    await bench.step(3)
    found, tally = await bench.find(operation), await bench.tally(operation)
    assert (found.state, tally.unknown) == ("finished", 4)
    assert await bench.claim(agent) == []
    await bench.answer(claimed[:1])
    tally = await bench.tally(operation)
    assert (tally.unknown, tally.done) == (3, 1)


async def test_late_refusal_for_rate_is_a_failure_once_it_has_ended(bench, agent, desk):
    await bench.tasks(1)
    operation = await bench.started()
    await bench.step()
    claimed = await bench.claim(agent)
    bench.clock.advance(LEASE_US / SECOND_US + 1)
    await expire_due(desk)
    await bench.step(2)
    await bench.answer(claimed, code="rate")
    tally = await bench.tally(operation)
    assert ((await bench.find(operation)).state, tally.failed) == ("finished", 1)


async def test_retry_of_the_failed_ones_is_a_new_operation_of_them(bench, agent):
    await bench.tasks(3)
    first = await bench.started()
    await bench.step()
    claimed = await bench.claim(agent)
    await bench.answer(claimed[:1], code="error")
    await bench.answer(claimed[1:])
    await bench.step(2)
    again = await bench.started(question="", parent=first.id)
    found = await bench.run(again, agent)
    assert (found.state, (await bench.tally(again)).done) == ("finished", 1)
    (task,) = await bench.outcomes(again)
    assert task.task_id == claimed[0].command.task_id


async def test_parent_in_another_project_gives_nothing(bench, agent, desk, other_project):
    await bench.tasks(2)
    first = await bench.started()
    await bench.run(first, agent, code="error")
    other = type(bench)(desk, other_project, bench.clock)
    assert (await other.preview(question="", parent=first.id)).total == 0


async def test_two_operators_act_on_each_task_once(bench, agent):
    await bench.tasks(10)
    first, second = await bench.started(), await bench.started()
    await bench.step()
    await bench.answer(await bench.claim(agent))
    await bench.run(second, agent)
    done = (await bench.tally(first)).done + (await bench.tally(second)).done
    assert done == 10
    skipped = await bench.outcomes(second, "skipped") + await bench.outcomes(first, "skipped")
    assert {task.code for task in skipped} <= {"asked", "retried"}
    assert len(skipped) == 10


async def test_task_that_somebody_retries_meanwhile_is_passed_over(bench, agent, desk, project):
    await bench.tasks(2)
    operation = await bench.started()
    await request_retry(desk, project, "celery", "t0", ANN)
    await bench.step()
    (task,) = await bench.outcomes(operation, "skipped")
    assert (task.task_id, task.code) == ("t0", "asked")
    assert "ann@shop.example" in task.message


async def test_form_that_is_sent_twice_is_one_operation(bench, agent, desk, project):
    await bench.tasks(2)
    chosen = "ab" * 16
    first, second = await asyncio.gather(
        bench.confirm(operation_id=chosen), bench.confirm(operation_id=chosen)
    )
    assert first.id == second.id == chosen
    assert len(await list_operations(desk.control, project.id)) == 1
    with pytest.raises(Conflict):
        await bench.confirm(operation_id=chosen, question="task:shop.pay")


async def test_second_of_two_who_press_is_told_who_was_first(bench, agent):
    await bench.tasks(2)
    operation = await bench.confirm()
    await bench.step()
    await bench.press("disarm", operation, by=ANN)
    with pytest.raises(Conflict, match=r"ann@shop\.example"):
        await bench.press("disarm", operation, by=BOB)


async def test_disarming_too_late_says_what_to_do(bench, agent):
    await bench.tasks(2)
    operation = await bench.started()
    with pytest.raises(Conflict, match="pause or stop"):
        await bench.press("disarm", operation)


async def test_operation_of_another_project_does_not_exist(bench, agent, desk, other_project):
    await bench.tasks(2)
    operation = await bench.confirm()
    other = type(bench)(desk, other_project, bench.clock)
    with pytest.raises(NotFound):
        await other.press("stop", operation)


async def test_source_without_agent_holds_up_only_its_own(bench, agent, desk, project):
    other = "0ther0ther00"
    away = desk.connect(project.id, agent_id="c" * 32, source=other)
    at = bench.clock()
    publish = wire.TaskPublished(at, other, "x1", 1, "shop.pay", "mail", sealed=SEALED)
    seen = wire.SourceSeen(at, other, "rq", "redis://other")
    await desk.record(project.id, seen, publish, wire.TaskFailed(at + 1, other, "x1", 1, "E"))
    await bench.tasks(3)
    desk.registry.disconnect(away)
    operation = await bench.started()
    for _ in range(4):
        await bench.step()
        await bench.answer(await bench.claim(agent))
    tally = await bench.tally(operation)
    assert (tally.done, tally.waiting) == (3, 1)
    desk.connect(project.id, agent_id="c" * 32, source=other)
    found = await bench.run(operation, desk.registry.connections(project.id)[-1])
    assert (found.state, (await bench.tally(operation)).total) == ("finished", 4)


async def test_cancel_terminates_only_where_the_host_allows_it(bench, agent):
    await bench.tasks(2, state="queued", prefix="q")
    await bench.tasks(1, state="running", prefix="r")
    operation = await bench.started(verb="cancel", question="state:queued,running")
    await bench.run(operation, agent)
    (skipped,) = await bench.outcomes(operation, "skipped")
    assert (skipped.task_id, skipped.code) == ("r0", "policy")
    assert "terminate" in skipped.message
    assert (await bench.tally(operation)).done == 2
    asked = await bench.desk.history.cancelled_waiting(bench.project.id)
    assert {task_id for _, task_id in asked} == {"q0", "q1"}


@pytest.mark.parametrize(
    ("verb", "more", "details"),
    [
        ("move", {"queue": "slow"}, {"queue": "slow"}),
        ("priority", {"priority": 7}, {"priority": 7}),
    ],
)
async def test_details_reach_the_agent(bench, desk, project, verb, more, details):
    agent = desk.connect(project.id, verbs=ALL, allow=tuple(wire.VERBS.values()))
    await bench.tasks(1, state="queued")
    await bench.started(verb=verb, question="state:queued", **more)
    await bench.step()
    (claimed,) = await bench.claim(agent)
    assert claimed.command.verb == verb
    assert claimed.command.details == wire.CommandDetails(**details)


async def test_audit_log_tells_who_why_what_and_how_it_ended(bench, agent, desk):
    await bench.tasks(2)
    operation = await bench.started(reason="bad deploy")
    await bench.run(operation, agent)
    log = await audited(desk.control, "shop")
    assert [one for one in log if one[0].startswith(("operation", "command"))] == [
        ("operation.confirm", "requested"),
        ("operation.arm", "done"),
        ("operation.end", "finished"),
    ]
    page = await list_entries(desk.control, "shop", limit=10)
    told = {line.action: line for line in page.entries}
    confirmed = msgspec.json.decode(msgspec.json.encode(told["operation.confirm"].payload))
    assert (confirmed["reason"], confirmed["filter"], confirmed["would_act"]) == (
        "bad deploy", "state:failed", 2,
    )  # fmt: skip
    assert told["operation.end"].payload["done"] == 2


async def test_export_reads_every_task_in_portions(bench, agent, desk, monkeypatch):
    monkeypatch.setattr("queuedeck.domain.operations.queries.EXPORTED_AT_ONCE", 4)
    await bench.tasks(10)
    operation = await bench.started()
    found = [
        task.task_id async for some in every_outcome(desk.control, operation.id) for task in some
    ]
    assert sorted(found) == sorted(f"t{n}" for n in range(10))
    (group,) = await read_groups(desk.control, operation.id)
    assert (group.state, group.count) == ("waiting", 10)


async def test_operation_of_nothing_is_refused(bench, agent):
    with pytest.raises(Conflict):
        await bench.confirm()


async def test_by_a_shell_is_by_a_name(bench, agent):
    await bench.tasks(1)
    assert (await bench.confirm()).requested_by == SHELL.label
