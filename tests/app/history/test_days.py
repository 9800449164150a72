# SPDX-License-Identifier: AGPL-3.0-only
"""Day tables: where a task is filed, and that it is found again whatever the day."""

from pathlib import Path

import pytest
from tests.support.history_days import DayByDay
from tests.support.history_events import (
    NOW_US,
    failed,
    published,
    received,
    source_seen,
    started,
    succeeded,
    uuid_of,
)
from tests.support.history_stores import Listening

from queuedeck.clock import DAY_US
from queuedeck.history.failures import FailureOrder
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.writer import Writer
from queuedeck.history.tasks import TaskState

T = uuid_of("task")
OTHER = uuid_of("other")
TODAY = NOW_US // DAY_US
HOUR = DAY_US // 24
MIDNIGHT = (TODAY + 1) * DAY_US - NOW_US
"""From the start of the tests to the next midnight."""
LAYOUT_1 = Path(__file__).parents[2] / "support/data/history_layout_1.sql"


@pytest.fixture
async def days(kind):
    store = DayByDay(kind)
    await store.store.open()
    await store.record(source_seen())
    yield store
    await store.store.close()


async def test_a_task_across_midnight_stays_one_task(days):
    await days.record(published(T, MIDNIGHT - 5), received(T, MIDNIGHT - 4))
    days.at = MIDNIGHT + HOUR
    await days.record(started(T, MIDNIGHT + 5), succeeded(T, MIDNIGHT + 9, run_us=4))
    await days.record(published(OTHER, MIDNIGHT + 10))
    detail = await days.find()
    assert (detail.row.state, detail.row.wait_us, detail.row.run_us) == ("succeeded", 10, 4)
    assert [line.kind for line in detail.timeline] == [
        "task-published",
        "task-received",
        "task-started",
        "task-succeeded",
    ]
    assert (await days.day(), await days.day(OTHER)) == (0, 1)
    assert await days.ids(TaskFilter(), 1) == [OTHER, T]
    assert (await days.store.totals(1)).states == {"celery": {"queued": 1, "succeeded": 1}}


@pytest.mark.parametrize("task_id", [T, "nightly:report"])
@pytest.mark.parametrize("later", [5 * HOUR, DAY_US, 30 * DAY_US])
async def test_an_id_that_is_used_again_names_a_new_task_and_the_one_before(days, task_id, later):
    await days.record(published(task_id), started(task_id), failed(task_id))
    days.at = later
    await days.carry_over()
    await days.record(published(task_id, later), started(task_id, later + 1))
    newest, older = await days.find(task_id), await days.find(task_id, 1)
    assert (newest.row.generation, newest.row.state) == (2, TaskState.RUNNING)
    assert (older.row.generation, older.row.state) == (1, TaskState.FAILED)
    assert newest.generations == older.generations == 2
    assert await days.find(task_id, 3) is None
    assert await days.ids(TaskFilter(ids=(task_id,)), 1) == [task_id, task_id]


async def test_generations_are_numbered_through_wherever_the_search_began_again(days):
    await days.record(published(T, 0), failed(T, 3), published(T, 10), failed(T, 13))
    days.at = 10 * DAY_US
    await days.carry_over()
    for at in (days.at, days.at + 10):
        await days.record(published(T, at), failed(T, at + 3))
    stamps = [(await days.find(T, number)).row.published_us - NOW_US for number in (1, 2, 3, 4)]
    assert stamps == [0, 10, days.at, days.at + 10]
    assert (await days.find()).row.generation == 4


@pytest.mark.parametrize("task_id", [T, "nightly:report"])
async def test_rows_address_their_own_task_after_the_search_began_again(days, task_id):
    for at in (0, 5, 30 * DAY_US, 60 * DAY_US):
        days.at = at
        await days.carry_over()
        await days.record(published(task_id, at), failed(task_id, at + 3))
    rows = (await days.store.list_tasks(1, TaskFilter(), 10)).tasks
    assert len(rows) == 4
    for row in rows:
        found = await days.store.find_task(1, "celery", task_id, key=row.key)
        assert (found.row.key, found.row.published_us) == (row.key, row.published_us)
    (group,) = (await days.store.failure_groups(1, FailureOrder.LAST, 0, 10)).groups
    sample = (await days.store.failure_group(1, group.id)).sample
    assert sample.finished_us == NOW_US + 60 * DAY_US + 3


@pytest.mark.parametrize("wrong", [-3 * DAY_US, -300 * DAY_US, 3 * DAY_US, 300 * DAY_US])
async def test_a_clock_that_is_days_off_files_near_today_and_is_found(days, wrong):
    await days.record(published(T, wrong), published(OTHER, 0))
    await days.record(started(T, wrong + 2), succeeded(T, wrong + 5))
    detail = await days.find()
    assert await days.day() == (-2 if wrong < 0 else 0)
    assert (detail.row.state, detail.row.wait_us) == (TaskState.SUCCEEDED, 2)
    assert detail.row.published_us == NOW_US + wrong
    assert detail.generations == 1
    assert len(await days.ids(TaskFilter())) == 2


async def test_late_events_of_an_earlier_day_are_filed_there(days):
    await days.record(published(T, 0))
    late = [published(OTHER, -DAY_US), started(OTHER, 1 - DAY_US), succeeded(OTHER, 2 - DAY_US)]
    await days.record(*late)
    assert await days.day(OTHER) == -1
    assert await days.ids(TaskFilter()) == [T, OTHER]


async def test_a_late_event_reaches_the_task_of_an_earlier_day(days):
    await days.record(started(T, 0))
    days.at = 2 * DAY_US
    await days.record(published(OTHER, days.at), succeeded(T, 7, run_us=7), published(T, -3))
    detail = await days.find()
    assert (detail.row.state, detail.row.published_us) == (TaskState.SUCCEEDED, NOW_US - 3)
    assert (await days.day(), detail.generations) == (0, 1)


async def test_a_task_that_waits_longer_than_the_search_goes_is_found_among_the_open_ones(days):
    await days.record(published(T, 0, eta_us=NOW_US + 20 * DAY_US), published(OTHER), failed(OTHER))
    days.at = 20 * DAY_US
    await days.carry_over()
    at = days.at
    await days.record(started(T, at), succeeded(T, at + 5))
    detail = await days.find()
    assert (detail.row.state, detail.row.attempt) == (TaskState.SUCCEEDED, 1)
    assert (await days.day(), detail.generations) == (0, 1)
    days.at += DAY_US
    await days.carry_over()
    await days.record(received(T, at - 1))
    assert (await days.find()).timeline[1].kind == "task-received"
    assert len(await days.ids(TaskFilter())) == 2


async def test_open_ones_are_forgotten_when_nothing_more_is_expected(days, kind):
    await days.record(published(T), published(OTHER))
    days.at = 5 * DAY_US
    await days.carry_over()
    await days.record(succeeded(T, days.at))
    days.at += 30 * DAY_US
    await days.carry_over()
    assert kind.rows("SELECT id >> 40, until_day FROM open_task") == [(TODAY, None)]


async def test_days_long_past_are_no_longer_searched_by_the_writer(days):
    for day in range(10):
        days.at = day * DAY_US
        await days.record(published(uuid_of(str(day)), days.at))
        await days.carry_over()
    listening = Listening(days.store._writer.db)
    days.store._writer = Writer(listening, days.store._clock)
    await days.record(published(T, days.at))
    assert {
        day for day in range(10) if any(f"task_{TODAY + day} " in sql for sql in listening.ran)
    } == {
        7,
        8,
        9,
    }


async def test_pages_go_on_across_days_for_every_question(days):
    wanted = []
    for day in range(5):
        days.at = day * DAY_US
        for number in range(6):
            task_id = uuid_of(f"{day}/{number}")
            end = failed if number % 2 else succeeded
            await days.record(published(task_id, days.at), end(task_id, days.at + 1))
            wanted.insert(0, task_id)
    assert await days.ids(TaskFilter(), 4) == wanted
    odd = [one for number, one in enumerate(wanted) if number % 2 == 0]
    assert await days.ids(TaskFilter(states=(TaskState.FAILED,)), 4) == odd
    assert await days.ids(TaskFilter(not_states=(TaskState.SUCCEEDED,)), 4) == odd
    assert await days.ids(TaskFilter(texts=("mail.send",)), 5) == wanted
    assert await days.ids(TaskFilter(ids=(wanted[0], wanted[-1])), 1) == [wanted[0], wanted[-1]]


async def test_a_cancel_request_outlives_its_day(days):
    await days.record(published(T))
    key = (await days.find()).row.key
    days.at = 10 * DAY_US
    await days.carry_over()
    await days.store.request_cancel(1, key)
    await days.record(published(OTHER, days.at))
    assert [task_id for _, task_id in await days.store.cancelled_waiting(1)] == [T]
    await days.record(succeeded(T, days.at))
    assert await days.store.cancelled_waiting(1) == []
    assert (await days.find()).row.cancel_requested


async def test_minutes_say_which_tasks_were_first_seen_in_them(days, kind):
    minute = 60_000_000
    await days.record(published(T, 0), published(OTHER, 0), started(uuid_of("x"), 5 * minute))
    await days.record(published(uuid_of("y"), minute), published(uuid_of("x"), minute))
    rows = kind.rows(f"SELECT * FROM minute_{TODAY} ORDER BY minute")
    first = NOW_US // minute
    assert rows == [(first, 1, 2), (first + 1, 3, 4), (first + 5, 3, 3)]
