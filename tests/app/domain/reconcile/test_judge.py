# SPDX-License-Identifier: AGPL-3.0-only
"""What may be concluded from which answer, and what seems stuck: by table."""

import pytest
from tests.support.links import SOURCE, a_hello

from queuedeck.clock import MINUTE_US, SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.reconcile.answers import answers_in
from queuedeck.domain.reconcile.asking import whom_to_ask
from queuedeck.domain.reconcile.judge import Answer, judge
from queuedeck.domain.reconcile.processes import Processes
from queuedeck.domain.reconcile.suspects import Memory, Surroundings, is_suspicious
from queuedeck.history.facts import Verdict
from queuedeck.history.suspects import OpenTask
from queuedeck.history.tasks import TaskState
from queuedeck_agent import wire

NOW = 1_790_000_000_000_000
AWAY = 900 * SECOND_US
EVERY = 30 * SECOND_US
BEGAN = NOW - 20 * MINUTE_US


def a_task(**fields):
    values = {
        "key": 1, "engine": "huey", "source": SOURCE, "task_id": "t", "name": "shop.add",
        "queue": "mail", "state": TaskState.RUNNING, "attempt": 1, "began": True,
        "starts": (wire.StartSeen("w1@host", BEGAN, 7),), "since_us": BEGAN,
        "verdict": None, "checked_us": 0,
    }  # fmt: skip
    return OpenTask(**values | fields)


def an_agent(*, up_us=BEGAN - 1, seen_us=NOW, connected=True, worker="w1@host", **hello):
    engine = wire.EngineInfo("huey", "3.5", SOURCE, "worker", worker)
    said = a_hello(engines=(engine,), started_us=up_us, **hello)
    return AgentSeen(said.agent_id, said, connected, up_us, seen_us, None, 0)


def holders(*agents, since_us=NOW - MINUTE_US, task=None):
    return Processes(agents, since_us).of(task or a_task())


HERE = (an_agent(),)
JUST_LEFT = (an_agent(connected=False, seen_us=NOW - MINUTE_US),)
LONG_AWAY = (an_agent(connected=False, seen_us=NOW - AWAY),)
NEW_ONE = (an_agent(up_us=BEGAN + 1),)
DEAD, ALIVE, NOT_TOLD = "dead", "alive", ""

CASES = {
    "a dead process, and the engine has nothing": ("gone", DEAD, JUST_LEFT, Verdict.LOST),
    "a dead process, still in the books": ("started", DEAD, JUST_LEFT, Verdict.LOST),
    "a dead process, and another worker of its name": ("gone", DEAD, NEW_ONE, Verdict.LOST),
    "a dead process, but it waits": ("queued", DEAD, LONG_AWAY, Verdict.WAITING),
    "a dead process, but a worker has it": ("running", DEAD, LONG_AWAY, Verdict.RUNNING),
    "a dead process, and a stored result": ("succeeded", DEAD, JUST_LEFT, Verdict.SUCCEEDED),
    "a dead process, and a stored error": ("failed", DEAD, JUST_LEFT, Verdict.FAILED),
    "an agent that is away for a minute": ("gone", NOT_TOLD, JUST_LEFT, Verdict.UNKNOWN),
    "an agent that is away for long": ("gone", NOT_TOLD, LONG_AWAY, Verdict.LOST),
    "away for long, but its process lives": ("gone", ALIVE, LONG_AWAY, Verdict.UNKNOWN),
    "away for long, still in the books": ("started", NOT_TOLD, LONG_AWAY, Verdict.LOST),
    "away for a minute, still in the books": ("started", NOT_TOLD, JUST_LEFT, Verdict.RUNNING),
    "connected, and the engine has nothing": ("gone", NOT_TOLD, HERE, Verdict.UNKNOWN),
    "the engine cannot say": ("unknown", DEAD, LONG_AWAY, Verdict.UNKNOWN),
    "a server that has just begun to listen": ("gone", NOT_TOLD, (), Verdict.UNKNOWN),
    "an answer of tomorrow": ("frozen", DEAD, LONG_AWAY, Verdict.UNKNOWN),
}


@pytest.mark.parametrize(("state", "process", "agents", "verdict"), CASES.values(), ids=CASES)
def test_a_task_is_lost_only_when_its_process_is(state, process, agents, verdict):
    answer = Answer("t", state, "nobody has it", process, "The lock is free.")
    found = judge(a_task(), answer, holders(*agents), NOW, AWAY)
    assert found.verdict is verdict


def test_an_agent_that_is_connected_is_not_dead_whoever_says_so():
    (here,) = HERE
    answer = Answer("t", "gone", "", DEAD, "", (here.agent_id,))
    assert judge(a_task(), answer, holders(here), NOW, AWAY).verdict is Verdict.UNKNOWN


def test_a_task_that_nobody_took_is_never_called_lost():
    task = a_task(state=TaskState.QUEUED, starts=(), began=False)
    found = judge(task, Answer("t", "gone"), holders(task=task), NOW, AWAY)
    assert found.verdict is Verdict.UNKNOWN


def test_of_two_deliveries_one_that_lives_is_enough():
    both = (wire.StartSeen("w1@host", BEGAN, 7), wire.StartSeen("w2@host", BEGAN + 9, 8))
    task = a_task(starts=both)
    known = holders(*LONG_AWAY, an_agent(worker="w2@host"), task=task)
    assert judge(task, Answer("t", "gone"), known, NOW, AWAY).verdict is Verdict.UNKNOWN


def test_the_reason_names_process_and_engine():
    answer = Answer("t", "gone", "the list is empty", DEAD, "The lock is free.")
    assert judge(a_task(), answer, holders(*JUST_LEFT), NOW, AWAY).text == (
        "The lock is free. The list is empty."
    )


def around(**fields):
    return Surroundings(
        **{"now_us": NOW, "grace_us": EVERY, "longest_us": {}, "empty": set()} | fields
    )


SUSPECTS = {
    "its agent is there": (a_task(), HERE, False),
    "its agent left": (a_task(), JUST_LEFT, True),
    "its agent left a moment ago": (a_task(), (an_agent(connected=False),), False),
    "another of its name came": (a_task(), NEW_ONE, True),
    "one of two of its name left": (a_task(), (*HERE, *JUST_LEFT), True),
    "it runs for hours": (a_task(since_us=NOW - 61 * MINUTE_US), HERE, True),
    "it was lost, and its agent is back": (
        a_task(state=TaskState.LOST, verdict=Verdict.LOST), HERE, True
    ),
    "it was lost, and nobody came": (
        a_task(state=TaskState.LOST, verdict=Verdict.LOST), JUST_LEFT, False
    ),
    "it waits": (a_task(state=TaskState.QUEUED, starts=(), began=False), (), False),
    "it waits in the hands of one that left": (
        a_task(state=TaskState.QUEUED, began=False), JUST_LEFT, True
    ),
}  # fmt: skip


@pytest.mark.parametrize(("task", "agents", "expected"), SUSPECTS.values(), ids=SUSPECTS)
def test_a_task_seems_stuck(task, agents, expected):
    assert is_suspicious(task, holders(*agents, task=task), around()) is expected


def test_a_task_that_waits_in_an_empty_queue_seems_stuck():
    task = a_task(state=TaskState.QUEUED, starts=(), began=False)
    assert is_suspicious(task, holders(task=task), around(empty={(SOURCE, "mail")}))


def test_a_long_run_is_judged_by_the_runs_of_its_name():
    usual = around(longest_us={"shop.add": 30 * MINUTE_US})
    assert not is_suspicious(a_task(), holders(*HERE), usual)
    assert is_suspicious(a_task(since_us=NOW - 31 * MINUTE_US), holders(*HERE), usual)


def test_each_time_it_takes_twice_as_long_until_a_task_is_asked_about_again():
    memory, task, able = Memory(), a_task(), frozenset({"a"})
    waits, at = [], NOW
    for _ in range(10):
        assert memory.is_due(task, able, at, EVERY)
        memory.note(task, able, at)
        wait = next(n for n in range(1, 200) if memory.is_due(task, able, at + n * EVERY, EVERY))
        waits.append(wait)
        at += wait * EVERY
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120, 120, 120]
    assert memory.is_due(task, frozenset({"a", "new"}), at - EVERY, EVERY)


def test_whoever_shares_the_spool_of_the_dead_is_asked():
    left = an_agent(connected=False, spool_id="s" * 32, host="one")
    near = an_agent(up_us=NOW, spool_id="s" * 32)
    far = [an_agent(up_us=NOW, spool_id=wire.NO_SPOOL) for _ in range(3)]
    known = holders(left)
    assert whom_to_ask([*far, near], known, 0) is near
    asked = {whom_to_ask(far, known, times).agent_id for times in range(3)}
    assert asked == {agent.agent_id for agent in far}


@pytest.mark.parametrize("found", [b"", b"{}", b"[1]", b'[{"id":1}]', b"\xff", b'{"state":"gone"}'])
def test_what_cannot_be_read_is_no_answer(found):
    assert answers_in(found) == {}
