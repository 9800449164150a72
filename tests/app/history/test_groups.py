# SPDX-License-Identifier: AGPL-3.0-only
"""Failure groups and trends through the store, as pages and API read them."""

import pytest
from tests.support.history_events import (
    NOW_US,
    batch,
    failed,
    published,
    retrying,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.domain.tasks.filters import parse
from queuedeck.history.failures import FailureOrder
from queuedeck.history.trends import TaskOrder, TrendFilter

HOUR_US = 60 * MINUTE_US
TRACE = '  File "/srv/app/mail.py", line 3, in send\n    x()\nValueError: order 7\n'


def a_failure(n, at=0, exception="ValueError", **more):
    task_id = uuid_of(f"task {n}")
    message = f"order {n}"
    return [
        published(task_id, at),
        started(task_id, at + 1, release="v1"),
        failed(task_id, at + 2, exception=exception, message=message, traceback=TRACE, **more),
    ]


@pytest.fixture
def record(history):
    sent = [0]

    async def record(*events):
        first = sent[0] + 1
        sent[0] += len(events)
        await history.record([batch(list(events), first)])

    return record


async def groups(history, order=FailureOrder.LAST, since_us=0):
    return await history.failure_groups(1, order, since_us, 50)


async def test_groups_tell_counts_and_names(history, record):
    await record(source_seen(), *a_failure(1), *a_failure(2, at=9))
    (group,) = (await groups(history)).groups
    assert (group.exception, group.message) == ("ValueError", "order {n}")
    assert group.culprit == "app/mail.py in send"
    assert (group.attempts, group.tasks, group.recovered) == (2, 2, 0)
    assert (group.first_us, group.last_us) == (NOW_US + 2, NOW_US + 11)
    assert group.names == [("app.mail.send", 2)]
    assert group.recent == [0] * 23 + [2]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (FailureOrder.LAST, ["B", "A"]),
        (FailureOrder.COUNT, ["A", "B"]),
        (FailureOrder.FIRST, ["B", "A"]),
    ],
)
async def test_groups_are_sorted(history, record, order, names):
    await record(source_seen(), *a_failure(1, exception="A"), *a_failure(2, exception="A"))
    await record(*a_failure(3, at=50, exception="B"))
    assert [g.exception for g in (await groups(history, order)).groups] == names


async def test_groups_not_seen_since_are_left_out(history, record):
    await record(source_seen(), *a_failure(1, at=-2 * DAY_US))
    found = await groups(history, since_us=NOW_US - DAY_US)
    assert (found.groups, found.total) == ([], 0)


async def test_one_group_has_its_newest_tasks_and_a_sample(history, record):
    await record(source_seen(), *a_failure(1), *a_failure(2, at=9))
    (group,) = (await groups(history)).groups
    found = await history.failure_group(1, group.id)
    assert [task.task_id for task in found.tasks] == [uuid_of("task 2"), uuid_of("task 1")]
    assert (found.sample.exception, found.sample.message) == ("ValueError", "order 2")
    assert found.sample.traceback == TRACE
    assert found.queues == [("mail", 2)]
    assert found.releases == [("v1", 2)]
    assert sum(found.hours) == 2


async def test_the_sample_is_the_attempt_that_failed_so(history, record):
    task_id = uuid_of("again")
    await record(source_seen(), retrying(task_id, 3), failed(task_id, 9, attempt=2))
    await record(succeeded(task_id, 20, attempt=3))
    found = {g.exception: g.id for g in (await groups(history)).groups}
    sample = (await history.failure_group(1, found["TimeoutError"])).sample
    assert (sample.number, sample.exception) == (1, "TimeoutError")
    assert (await history.failure_group(1, found["TimeoutError"])).group.recovered == 1


async def test_other_projects_see_nothing(history, record):
    await record(source_seen(), *a_failure(1))
    (group,) = (await groups(history)).groups
    assert await history.failure_group(2, group.id) is None
    assert (await history.failure_groups(2, FailureOrder.LAST, 0, 50)).groups == []
    trend = await history.trend(2, NOW_US, NOW_US + HOUR_US, MINUTE_US, TrendFilter())
    assert trend.total.arrived == 0


async def test_a_task_knows_its_group(history, record):
    await record(source_seen(), *a_failure(1), *a_failure(2), succeeded(uuid_of("well"), 5))
    (group,) = (await groups(history)).groups
    first = await history.find_task(1, "celery", uuid_of("task 1"))
    well = await history.find_task(1, "celery", uuid_of("well"))
    found = await history.failure_of(1, first.row.key)
    assert (found.group, found.fingerprint, found.recent) == (group.id, group.fingerprint, 2)
    assert await history.failure_of(2, first.row.key) is None
    assert await history.failure_of(1, well.row.key) is None


OTHER_TRACE = TRACE.replace("in send", "in render")


async def listed(history, text, project_id=1):
    page = await history.list_tasks(project_id, parse(text), 50)
    return {task.task_id for task in page.tasks}


async def by_place(history):
    return {g.culprit.rpartition(" ")[2]: g.fingerprint for g in (await groups(history)).groups}


async def test_a_group_finds_its_tasks_and_no_other_of_the_same_type_and_name(history, record):
    here, there = uuid_of("here"), uuid_of("there")
    await record(source_seen(), failed(here, 1, traceback=TRACE), succeeded(uuid_of("well"), 5))
    await record(failed(there, 2, traceback=OTHER_TRACE))
    group = await by_place(history)
    assert await listed(history, "error:ValueError") == {here, there}
    assert await listed(history, f"state:failed group:{group['send']}") == {here}
    assert await listed(history, f"group:{group['render']}") == {there}
    assert await listed(history, f"group:{group['render']},{group['send']}") == {here, there}
    assert await listed(history, f"-group:{group['send']}") == {there, uuid_of("well")}
    assert await listed(history, f"group:{group['send']}", project_id=2) == set()


async def test_a_group_nobody_has_finds_nothing_and_excludes_nothing(history, record):
    await record(source_seen(), *a_failure(1))
    assert await listed(history, "group:00000000000000aa") == set()
    assert await listed(history, "-group:00000000000000aa") == {uuid_of("task 1")}


async def test_a_task_is_in_the_group_of_its_newest_failed_attempt(history, record):
    task_id = uuid_of("again")
    await record(source_seen(), retrying(task_id, 3, exception="ValueError", traceback=TRACE))
    await record(failed(task_id, 9, attempt=2, traceback=OTHER_TRACE))
    group = await by_place(history)
    assert await listed(history, f"group:{group['send']}") == set()
    assert await listed(history, f"group:{group['render']}") == {task_id}


async def test_trends_are_there_after_the_commit(history, record):
    await record(source_seen(), *a_failure(1), succeeded(uuid_of("well"), 5))
    trend = await history.trend(1, NOW_US, NOW_US + HOUR_US, MINUTE_US, TrendFilter())
    assert (trend.total.succeeded, trend.total.failed) == (1, 1)
    window = (NOW_US, NOW_US + HOUR_US, MINUTE_US)
    found = await history.task_trends(1, *window, TaskOrder.ENDED, 10)
    assert sum(task.counts.ended for task in found.tasks) == 2


async def test_nothing_is_pruned_of_what_is_kept(history, record):
    await record(source_seen(), *a_failure(1))
    assert await history.prune_counts({}) is False
    assert (await groups(history)).total == 1
