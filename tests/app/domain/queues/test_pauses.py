# SPDX-License-Identifier: AGPL-3.0-only
"""A pause is a wish that every worker's agent is asked to carry out, now and when it comes."""

import pytest
from sqlalchemy import select
from tests.support.control import SHELL, audited
from tests.support.queues import (
    MAIL,
    a_worker,
    an_engine,
    answer,
    commands,
    enter,
    take,
    tell,
)

from queuedeck.clock import DAY_US, SECOND_US
from queuedeck.domain.commands.delivery import expire_due
from queuedeck.domain.queues.models import Pause
from queuedeck.domain.queues.orders import carry_out
from queuedeck.domain.queues.pauses import (
    end_due,
    pause_queue,
    pauses_of,
    resume_queue,
)
from queuedeck.errors import Conflict, Invalid, NotSupported

HOUR_S = 3_600


async def pause(desk, project, **fields):
    return await pause_queue(desk, project, MAIL, SHELL, **({"reason": "deploy"} | fields))


async def words(desk, project):
    (held,) = await pauses_of(desk, project.id)
    return [one.word.value for one in held.workers]


async def test_every_worker_of_the_queue_is_asked_by_a_command_of_its_own(desk, project):
    ann, bob = enter(desk, project.id), enter(desk, project.id)
    others = [enter(desk, project.id, a_worker(an_engine(("other",))))]
    others += [enter(desk, project.id, a_worker(an_engine(role="producer")))]
    others += [enter(desk, project.id, a_worker(an_engine(source="0" * 12)))]
    held = await pause(desk, project, for_s=HOUR_S)
    asked = await commands(desk.control, project.id)
    assert {one.only_agent for one in asked} == {ann.agent.agent_id, bob.agent.agent_id}
    (command,) = await take(desk, project.id, ann)
    assert (command.verb, command.queue, command.target) == ("pause", "mail", MAIL.target)
    assert (command.details.for_s, command.details.reason) == (HOUR_S, "deploy")
    assert (command.audit_seq, command.requested_by) == (held.audit_seq, SHELL.label)
    assert [await take(desk, project.id, other) for other in others] == [[], [], []]


async def test_nothing_is_paused_before_a_worker_says_so(desk, project):
    ann, bob = enter(desk, project.id), enter(desk, project.id)
    held = await pause(desk, project)
    assert (held.confirmed, len(held.workers), held.is_waiting) == (0, 2, True)
    await answer(desk, project.id, ann)
    (held,) = await pauses_of(desk, project.id)
    assert (held.confirmed, held.is_waiting) == (1, True)
    await answer(desk, project.id, bob)
    (held,) = await pauses_of(desk, project.id)
    assert (held.confirmed, held.is_waiting) == (2, False)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "confirmed"),
        ({"verified": False, "effect": "Asked."}, "waiting"),
        ({"code": "refused", "message": "Not here."}, "refused"),
        ({"code": "error", "message": "Redis is away."}, "refused"),
        ({"code": "rate", "message": "Too many."}, "waiting"),
        ({"code": "unknown", "message": "It died."}, "unknown"),
    ],
    ids=["done", "not seen", "refused", "error", "rate", "unknown"],
)
async def test_worker_is_shown_with_what_it_said(desk, project, said, word):
    ann = enter(desk, project.id)
    await pause(desk, project)
    await answer(desk, project.id, ann, **said)
    (held,) = await pauses_of(desk, project.id)
    assert [one.word.value for one in held.workers] == [word]
    assert held.workers[0].why == said.get("message", said.get("effect", ""))


async def test_worker_that_cannot_is_named_with_its_reason_and_not_asked(desk, project):
    enter(desk, project.id)
    unable = a_worker(an_engine(without={"pause": "This engine has no gate."}))
    forbidden = a_worker(allow=("observe",))
    for hello in (unable, forbidden):
        enter(desk, project.id, hello)
    held = await pause(desk, project)
    assert sorted(one.word.value for one in held.workers) == ["unable", "unable", "waiting"]
    whys = " ".join(one.why for one in held.workers)
    assert "This engine has no gate." in whys
    assert "QUEUEDECK_ALLOW" in whys
    assert len(await commands(desk.control, project.id)) == 1


async def test_worker_that_comes_later_is_asked_once(desk, project, clock):
    await pause_with_one(desk, project)
    clock.advance(600)
    late = enter(desk, project.id, a_worker(host="new"))
    assert await words(desk, project) == ["confirmed", "waiting"]
    assert [await carry_out(desk, project.id) for _ in range(3)] == [1, 0, 0]
    await answer(desk, project.id, late)
    assert await carry_out(desk, project.id) == 0
    assert await words(desk, project) == ["confirmed", "confirmed"]


async def test_worker_that_comes_later_is_told_only_the_time_that_is_left(desk, project, clock):
    await pause_with_one(desk, project, for_s=HOUR_S)
    clock.advance(HOUR_S - 60)
    late = enter(desk, project.id)
    await carry_out(desk, project.id)
    (command,) = await take(desk, project.id, late)
    assert command.details.for_s == 60


async def test_same_process_is_not_asked_again_when_it_comes_back(desk, project):
    ann = await pause_with_one(desk, project)
    desk.registry.disconnect(ann)
    assert await carry_out(desk, project.id) == 0
    enter(desk, project.id, ann.agent.hello)
    assert await carry_out(desk, project.id) == 0
    assert await words(desk, project) == ["confirmed"]


async def test_agent_that_met_its_limit_is_asked_again_after_a_minute(desk, project, clock):
    ann = enter(desk, project.id)
    await pause(desk, project)
    await answer(desk, project.id, ann, code="rate", message="Too many.")
    assert await carry_out(desk, project.id) == 0
    clock.advance(61)
    assert await carry_out(desk, project.id) == 1
    await answer(desk, project.id, ann)
    assert await words(desk, project) == ["confirmed"]


async def test_resume_tells_all_that_may_be_paused(desk, project):
    ann, bob, cara = (enter(desk, project.id, a_worker(host=name)) for name in "abc")
    await pause(desk, project)
    await answer(desk, project.id, ann)
    await answer(desk, project.id, bob, code="refused", message="No.")
    await resume_queue(desk, project, MAIL, SHELL)
    assert await pauses_of(desk, project.id) == []
    assert await answer(desk, project.id, ann) == ["resume"]
    assert await answer(desk, project.id, bob) == []
    assert await answer(desk, project.id, cara) == ["pause", "resume"]
    assert await carry_out(desk, project.id) == 0


async def test_host_that_was_away_at_the_resume_is_told_when_it_comes_back(desk, project, clock):
    ann = await pause_with_one(desk, project)
    desk.registry.disconnect(ann)
    await resume_queue(desk, project, MAIL, SHELL)
    assert await commands(desk.control, project.id, "resume") == []
    clock.advance(3 * DAY_US / SECOND_US)
    other = enter(desk, project.id, a_worker(host="elsewhere"))
    again = enter(desk, project.id, a_worker(host=ann.agent.hello.host))
    assert await carry_out(desk, project.id) == 1
    assert await answer(desk, project.id, other) == []
    assert await answer(desk, project.id, again) == ["resume"]


async def test_pause_after_a_resume_is_asked_anew(desk, project):
    ann = await pause_with_one(desk, project)
    await resume_queue(desk, project, MAIL, SHELL)
    await pause(desk, project, reason="again")
    assert await answer(desk, project.id, ann) == ["resume", "pause"]
    assert await words(desk, project) == ["confirmed"]
    await resume_queue(desk, project, MAIL, SHELL)
    assert await answer(desk, project.id, ann) == ["resume"]


async def test_pause_ends_by_itself_and_workers_are_told(desk, project, clock):
    ann = await pause_with_one(desk, project, for_s=HOUR_S)
    clock.advance(HOUR_S - 1)
    assert await end_due(desk) == 0
    clock.advance(1)
    assert await end_due(desk) == 1
    assert await pauses_of(desk, project.id) == []
    assert await answer(desk, project.id, ann) == ["resume"]
    assert ("queue.resume", "requested") in await audited(desk.control, project.slug)


async def test_pause_that_is_over_everywhere_is_forgotten_after_a_day(desk, project, clock):
    ann = await pause_with_one(desk, project)
    await resume_queue(desk, project, MAIL, SHELL)
    await answer(desk, project.id, ann)
    clock.advance(DAY_US / SECOND_US + 1)
    enter(desk, project.id, ann.agent.hello)
    assert await carry_out(desk, project.id) == 0
    async with desk.control.read() as session:
        assert list(await session.scalars(select(Pause.settled))) == [True]


async def test_what_was_asked_and_answered_is_in_the_audit_log(desk, project):
    await pause_with_one(desk, project)
    found = await audited(desk.control, project.slug)
    assert found[-2:] == [("queue.pause", "requested"), ("command.pause", "done")]


async def test_second_pause_is_refused_with_the_first_one(desk, project):
    await pause_with_one(desk, project)
    with pytest.raises(Conflict, match="paused already, by root: deploy"):
        await pause(desk, project, reason="me too")
    assert (await audited(desk.control, project.slug))[-1] == ("queue.pause", "refused")
    assert len(await pauses_of(desk, project.id)) == 1


async def test_queue_that_is_not_paused_cannot_be_resumed(desk, project):
    enter(desk, project.id)
    with pytest.raises(Conflict, match="not paused"):
        await resume_queue(desk, project, MAIL, SHELL)
    assert (await audited(desk.control, project.slug))[-1] == ("queue.resume", "refused")


async def test_pause_that_no_worker_can_do_is_refused_with_the_reason(desk, project):
    enter(desk, project.id, a_worker(an_engine(without={"pause": "No gate."})))
    with pytest.raises(NotSupported, match="No gate"):
        await pause(desk, project)
    assert await pauses_of(desk, project.id) == []
    assert (await audited(desk.control, project.slug))[-1] == ("queue.pause", "refused")


@pytest.mark.parametrize(
    "fields",
    [{"reason": " "}, {"reason": "x" * 501}, {"for_s": 59}, {"for_s": -1}, {"for_s": 31 * 86_400}],
    ids=["no reason", "long reason", "too short", "negative", "too long"],
)
async def test_pause_needs_a_reason_and_a_sensible_time(desk, project, fields):
    enter(desk, project.id)
    with pytest.raises(Invalid):
        await pause(desk, project, **fields)
    assert await commands(desk.control, project.id) == []


async def test_other_projects_are_not_touched(desk, project, other_project):
    stranger = enter(desk, other_project.id)
    await pause_with_one(desk, project)
    assert await pauses_of(desk, other_project.id) == []
    assert await carry_out(desk, other_project.id) == 0
    assert await take(desk, other_project.id, stranger) == []


async def test_worker_whose_pause_was_never_taken_is_asked_when_it_comes_back(desk, project, clock):
    ann = enter(desk, project.id)
    await pause(desk, project)
    desk.registry.disconnect(ann)
    clock.advance(2 * HOUR_S)
    await expire_due(desk)
    ann = enter(desk, project.id, ann.agent.hello)
    assert await carry_out(desk, project.id) == 1
    await tell(desk, project.id, (await take(desk, project.id, ann))[0].id)
    assert await words(desk, project) == ["confirmed"]


async def pause_with_one(desk, project, **fields):
    """The queue, paused by its one worker."""
    ann = enter(desk, project.id)
    await pause(desk, project, **fields)
    await answer(desk, project.id, ann)
    return ann
