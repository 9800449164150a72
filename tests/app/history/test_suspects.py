# SPDX-License-Identifier: AGPL-3.0-only
"""Open tasks are walked by an index, in portions, with who began them; what is concluded of them is
stored, counted and taken back."""

import pytest
from tests.support.history_events import (
    NOW_US,
    SOURCE,
    batch,
    lost,
    published,
    received,
    retrying,
    started,
    succeeded,
)
from tests.support.history_stores import Listening

from queuedeck.clock import MINUTE_US
from queuedeck.history.facts import TaskChecked, Verdict
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.rows import Words
from queuedeck.history.sql.suspects import read_open
from queuedeck.history.tasks import TaskState
from queuedeck.history.trends import TrendFilter

RUNNING, WAITING, LOST = (
    (TaskState.RUNNING,),
    (TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RETRYING),
    (TaskState.LOST,),
)
SERVER = "c" * 32


def checked(task, verdict, at=50, about_us=NOW_US + 2):
    return TaskChecked(NOW_US + at, SOURCE, task, 1, verdict, about_us, "its process is gone", "w")


async def conclude(history, *events, first=1):
    await history.record([batch(events, first, SERVER)])


async def open_ids(history, states=RUNNING):
    page = await history.open_tasks(1, states, 0, 100)
    return [task.task_id for task in page.tasks]


async def test_open_tasks_are_told_with_who_began_them(history):
    await history.record(
        [
            batch(
                [
                    started("a", pid=7),
                    started("b", 3, worker="w2@host"),
                    succeeded("b", 9),
                    published("c"),
                    received("c", 5),
                    started("d"),
                    retrying("d", 4),
                    published("other"),
                ]
            )
        ]
    )
    (running,) = (await history.open_tasks(1, RUNNING, 0, 100)).tasks
    assert (running.task_id, running.attempt, running.began) == ("a", 1, True)
    assert [(one.worker, one.pid) for one in running.starts] == [("w1@host", 7)]
    assert (running.since_us, running.verdict, running.checked_us) == (NOW_US + 2, None, 0)
    waiting = {one.task_id: one for one in (await history.open_tasks(1, WAITING, 0, 9)).tasks}
    assert {key: (one.began, len(one.starts)) for key, one in waiting.items()} == {
        "c": (False, 1), "d": (False, 0), "other": (False, 0),
    }  # fmt: skip
    assert waiting["d"].attempt == 2
    assert (await history.open_tasks(2, RUNNING, 0, 100)).tasks == []


async def test_each_delivery_of_an_attempt_is_told(history):
    again = [started("a", at, worker=f"w{at}@host") for at in (2, 9, 5)]
    await history.record([batch(again)])
    (task,) = (await history.open_tasks(1, RUNNING, 0, 100)).tasks
    assert sorted(one.worker for one in task.starts) == ["w2@host", "w5@host", "w9@host"]
    assert task.since_us == NOW_US + 9


async def test_a_walk_meets_every_task_once(history):
    await history.record([batch([started(f"t{n}") for n in range(25)])])
    met, after = [], 0
    for _ in range(3):
        page = await history.open_tasks(1, RUNNING, after, 10)
        met += [task.task_id for task in page.tasks]
        after = page.after
    assert met == [f"t{n}" for n in range(25)]
    assert after == 0


@pytest.mark.parametrize("others", [10, 3_000])
async def test_a_portion_costs_the_same_however_many_tasks_there_are(kind, others):
    history = kind.history()
    await history.open()
    await history.record([batch([succeeded(f"done{n}") for n in range(others)])])
    await history.record([batch([started(f"t{n}") for n in range(30)], others + 1)])
    await history.close()

    def look(db):
        listening = Listening(db)
        page = read_open(listening, Words(), 1, RUNNING, 0, 20)
        return len(page.tasks), len(listening.ran), listening.read

    count, statements, rows = kind.ask(look)
    assert (count, statements) == (20, 6)
    assert rows <= 21 + 5


async def test_a_concluded_loss_is_shown_with_its_reason_and_taken_back(history):
    await history.record([batch([published("a"), started("a")])])
    await conclude(history, checked("a", Verdict.LOST))
    detail = await history.find_task(1, "unknown", "a")
    assert (detail.row.state, detail.row.message) == ("lost", "its process is gone")
    assert detail.attempts[0].state == "lost"
    assert [line.kind for line in detail.timeline][-1] == "task-checked"
    assert await open_ids(history) == []
    assert await open_ids(history, LOST) == ["a"]
    page = await history.list_tasks(1, TaskFilter(states=LOST), 10)
    assert [row.task_id for row in page.tasks] == ["a"]
    await conclude(history, checked("a", Verdict.RUNNING, 60), first=2)
    assert await open_ids(history) == ["a"]
    assert (await history.totals(1)).states["unknown"] == {"running": 1}


async def test_a_loss_that_an_agent_reported_is_not_asked_about(history):
    await history.record([batch([started("a"), lost("a")])])
    assert await open_ids(history, LOST) == []


async def test_trends_count_a_concluded_loss_until_it_turns_out_otherwise(history):
    async def counts():
        since = NOW_US // MINUTE_US * MINUTE_US
        trend = await history.trend(1, since, since + MINUTE_US, MINUTE_US, TrendFilter())
        return trend.total.lost, trend.total.succeeded, trend.total.failing

    await history.record([batch([published("a"), started("a")])])
    await conclude(history, checked("a", Verdict.LOST))
    assert await counts() == (1, 0, 1)
    await conclude(history, checked("a", Verdict.RUNNING, 60), first=2)
    assert await counts() == (0, 0, 0)
    await conclude(history, checked("a", Verdict.LOST, 70), first=3)
    await history.record([batch([succeeded("a", 80)], 3)])
    assert await counts() == (0, 1, 0)


async def test_a_failure_without_an_error_is_in_no_failure_group(history):
    await history.record([batch([started("a"), retrying("a", 4), started("a", 9, attempt=2)])])
    event = TaskChecked(NOW_US + 50, SOURCE, "a", 2, Verdict.FAILED, NOW_US + 9, "stored", "w")
    await conclude(history, event)
    assert (await history.find_task(1, "unknown", "a")).row.state == "failed"
    groups = await history.failure_groups(1, "last", 0, 10)
    assert [group.attempts for group in groups.groups] == [1]
