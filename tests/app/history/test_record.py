# SPDX-License-Identifier: AGPL-3.0-only
"""What recording a group does to lanes, counters, generations and links."""

import pytest
from tests.support.history_events import (
    LANE,
    NOW_US,
    SOURCE,
    batch,
    cancelled,
    failed,
    loss,
    lost,
    published,
    received,
    retrying,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.clock import DAY_US
from queuedeck.errors import NotFound, Unavailable
from queuedeck.history.batches import Poison
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.lanes import KEPT_RAW_BYTES, KEPT_SPOILT
from queuedeck.history.tasks import TaskState

T = uuid_of("task")
OTHER = uuid_of("other")
LANE_2 = "b" * 32
TODAY = NOW_US // DAY_US


async def find(history, task_id=T, generation=None, project_id=1):
    return await history.find_task(project_id, "celery", task_id, generation)


async def test_a_task_travels_to_its_end(history):
    events = [source_seen(), published(T), received(T), started(T), succeeded(T)]
    recorded = await history.record([batch(events)])
    assert recorded.committed == {LANE: 5}
    assert recorded.expected == {}
    assert recorded.tasks == {1: {("celery", T)}}
    row = (await find(history)).row
    assert (row.state, row.attempt, row.worker) == (TaskState.SUCCEEDED, 1, "w1@host")
    assert (row.task_id, row.source, row.source_name) == (T, SOURCE, "redis://celery")
    assert (row.published_us, row.started_us, row.finished_us) == (
        NOW_US,
        NOW_US + 2,
        NOW_US + 3,
    )
    assert (row.wait_us, row.run_us, row.queue) == (2, 1, "mail")


async def test_records_stored_already_are_skipped(history):
    events = [source_seen(), published(T), started(T)]
    await history.record([batch(events)])
    again = await history.record([batch([*events, succeeded(T)]), batch(events)])
    assert again.committed == {LANE: 4}
    totals = await history.totals(1)
    assert totals.events == 4
    assert len((await find(history)).timeline) == 3


async def test_a_batch_that_begins_too_late_is_not_stored(history):
    await history.record([batch([source_seen()])])
    recorded = await history.record([batch([started(T)], first=3), batch([started(T)], 7, LANE_2)])
    assert recorded.committed == {}
    assert recorded.expected == {LANE: 1, LANE_2: 0}
    assert (await history.list_tasks(1, TaskFilter(), 10)).tasks == []


async def test_a_late_batch_is_asked_for_again_when_the_gap_closes_in_the_same_group(history):
    late, early = batch([succeeded(T)], first=3), batch([source_seen(), started(T)])
    recorded = await history.record([late, early])
    assert recorded.committed == {LANE: 2}
    assert recorded.expected == {LANE: 2}


async def test_a_lane_of_another_project_is_refused(history):
    await history.record([batch([source_seen()])])
    recorded = await history.record([batch([source_seen(), started(T)], project_id=2)])
    assert recorded.refused == {(2, LANE)}
    assert recorded.committed == {}
    assert recorded.tasks == {}
    assert (await history.totals(2)).events == 0
    assert await history.committed(2, [LANE, LANE_2]) == {LANE_2: 0}
    assert await history.committed(1, [LANE]) == {LANE: 1}


async def test_received_and_lost_are_what_was_produced(history):
    events = [source_seen(), loss(10), started(T), Poison(b"x", "not msgpack"), loss(3)]
    good = batch(events)
    recorded = await history.record([good])
    totals = await history.totals(1)
    assert (totals.events, totals.lost, totals.quarantined) == (2, 13, 1)
    assert totals.events + totals.lost + totals.quarantined == recorded.committed[LANE]


async def test_a_loss_that_was_widened_counts_only_what_is_new(history):
    await history.record([batch([source_seen(), loss(4)])])
    await history.record([batch([loss(9)], first=2)])
    assert (await history.totals(1)).lost == 9
    assert (await history.committed(1, [LANE]))[LANE] == 10


async def test_poison_is_kept_in_part_and_bounded_in_number(history, kind):
    spoilt = [Poison(b"z" * 10_000, "truncated")] * (KEPT_SPOILT + 5)
    await history.record([batch(spoilt)])
    rows = kind.rows("SELECT length(raw), size, error, number FROM quarantine ORDER BY id")
    assert len(rows) == KEPT_SPOILT
    assert rows[-1] == (KEPT_RAW_BYTES, 10_000, "truncated", KEPT_SPOILT + 5)
    assert (await history.totals(1)).quarantined == KEPT_SPOILT + 5


async def test_late_events_fill_in_and_change_no_outcome(history):
    await history.record([batch([source_seen(), succeeded(T, 9)])])
    await history.record([batch([published(T), started(T)], first=3)])
    detail = await find(history)
    assert (detail.row.state, detail.row.queue, detail.row.started_us) == (
        TaskState.SUCCEEDED,
        "mail",
        NOW_US + 2,
    )
    assert detail.generations == 1


async def test_two_workers_with_the_same_attempt_are_shown_as_such(history):
    await history.record([batch([source_seen(), started(T, 2), failed(T, 9)])])
    other = [started(T, 5, worker="w2@host"), succeeded(T, 7, worker="w2@host")]
    await history.record([batch(other, lane=LANE_2)])
    detail = await find(history)
    (attempt,) = detail.attempts
    assert (attempt.times_started, attempt.conflicting) == (2, True)
    assert (attempt.state, attempt.worker) == (TaskState.SUCCEEDED, "w1@host")


async def test_attempts_show_what_each_of_them_did(history):
    first = [started(T, 2), retrying(T, 5, traceback="Traceback...", next_us=NOW_US + 50)]
    second = [started(T, 60, 2, worker="w2@host"), failed(T, 70, 2, run_us=10)]
    await history.record([batch([source_seen(), published(T), *first, *second])])
    detail = await find(history)
    newest, oldest = detail.attempts
    assert (newest.number, newest.state, newest.run_us) == (2, TaskState.FAILED, 10)
    assert (newest.exception, newest.message) == ("ValueError", "no\nmore")
    assert (oldest.state, oldest.next_us) == (TaskState.RETRYING, NOW_US + 50)
    assert oldest.traceback == "Traceback..."
    assert detail.row.message == "no"
    assert [line.kind for line in detail.timeline] == [
        "task-published",
        "task-started",
        "task-retrying",
        "task-started",
        "task-failed",
    ]
    assert detail.timeline[2].detail == "TimeoutError: slow"


async def test_a_reused_id_opens_another_generation(history):
    first = [source_seen(), published(T, 1), started(T), succeeded(T, 3)]
    await history.record([batch(first)])
    again = [published(T, 100), started(T, 110, published_us=NOW_US + 100)]
    await history.record([batch(again, first=5)])
    newest, oldest = await find(history), await find(history, generation=1)
    assert (newest.row.generation, newest.row.state) == (2, TaskState.RUNNING)
    assert (oldest.row.generation, oldest.row.state) == (1, TaskState.SUCCEEDED)
    assert newest.generations == oldest.generations == 2
    assert newest.row.key > oldest.row.key


async def test_old_generations_stay_to_be_found_out_of_the_writers_way(history, kind):
    events = [source_seen()]
    for at in range(0, 50, 10):
        events += [published(T, at), succeeded(T, at + 3)]
    await history.record([batch(events[:5])])
    await history.record([batch(events[5:], first=6)])
    assert kind.rows(f"SELECT count(*) FROM task_{TODAY} WHERE key >= 0") == [(2,)]
    assert (await find(history, generation=1)).row.published_us == NOW_US
    assert (await find(history)).generations == 5
    assert len((await history.list_tasks(1, TaskFilter(ids=(T,)), 10)).tasks) == 5
    assert len((await history.list_tasks(1, TaskFilter(texts=(T[:9],)), 10)).tasks) == 5


@pytest.mark.parametrize("old_first", [True, False])
async def test_retry_links_both_tasks_in_any_order(history, old_first):
    old = batch([source_seen(), published(T), failed(T)])
    new = batch([published(OTHER, 9, retry_of=T)], lane=LANE_2)
    for one in (old, new) if old_first else (new, old):
        await history.record([one])
    assert (await find(history)).row.retried_as == OTHER
    assert (await find(history, OTHER)).row.retry_of == T


async def test_a_source_that_nobody_named_yet_gets_its_name_later(history):
    await history.record([batch([started(T)])])
    assert (await history.totals(1)).states == {"unknown": {"running": 1}}
    await history.record([batch([source_seen()], first=2)])
    assert (await history.totals(1)).states == {"celery": {"running": 1}}
    assert (await find(history)).row.source_name == "redis://celery"


async def test_two_sources_and_two_projects_keep_the_same_id_apart(history):
    elsewhere = [source_seen("f" * 12, "rq"), succeeded(T)]
    elsewhere[1] = type(elsewhere[1])(NOW_US, "f" * 12, T, 1, 5)
    await history.record(
        [
            batch([source_seen(), started(T)]),
            batch(elsewhere, lane=LANE_2),
            batch([source_seen(), failed(T)], lane="c" * 32, project_id=2),
        ]
    )
    assert (await find(history)).row.state is TaskState.RUNNING
    assert (await history.find_task(1, "rq", T)).row.state is TaskState.SUCCEEDED
    assert (await find(history, project_id=2)).row.state is TaskState.FAILED
    assert await find(history, OTHER) is None


async def test_payloads_come_back_as_they_were(history):
    args = b'{"args":[1,"x"],"kwargs":{"key":null}}'
    sealed = b"0a1b2c3d" + bytes(range(256)) * 8
    trace = "Traceback\n" + "  line\n" * 900
    events = [
        source_seen(),
        published(T, args=args, sealed=sealed, priority=3, parent_id="p", root_id=T),
        failed(T, traceback=trace),
    ]
    await history.record([batch(events)])
    detail = await find(history)
    assert (detail.args, detail.seal_id, detail.sealed_bytes) == (args, "0a1b2c3d", len(sealed))
    assert await history.sealed_call(1, detail.row.key) == sealed
    assert await history.sealed_call(2, detail.row.key) == b""
    assert detail.attempts[0].traceback == trace
    assert detail.row.args_preview == "1, x, key=null"
    assert (detail.row.priority, detail.parent_id, detail.root_id) == (3, "p", T)


async def test_arguments_of_the_worker_serve_when_the_publisher_sent_none(history):
    worker = started(T, args=b'{"args":["w"]}', sealed=b"11111111worker")
    await history.record([batch([source_seen(), worker])])
    await history.record([batch([published(T)], first=3)])
    detail = await find(history)
    assert detail.args == b'{"args":["w"]}'
    assert await history.sealed_call(1, detail.row.key) == b"11111111worker"


async def test_cancel_is_an_intent_until_the_task_ends(history):
    await history.record([batch([source_seen(), published(T)])])
    key = (await find(history)).row.key
    await history.request_cancel(1, key)
    row = (await find(history)).row
    assert (row.cancel_requested, row.state) == (True, TaskState.QUEUED)
    assert await history.cancelled_waiting(1) == [(SOURCE, T)]
    assert await history.cancelled_waiting(2) == []
    await history.record([batch([cancelled(T)], first=3)])
    assert await history.cancelled_waiting(1) == []
    row = (await find(history)).row
    assert (row.cancel_requested, row.state) == (True, TaskState.CANCELLED)


async def test_cancel_of_another_projects_task_finds_nothing(history):
    await history.record([batch([source_seen(), published(T)])])
    with pytest.raises(NotFound):
        await history.request_cancel(2, (await find(history)).row.key)


async def test_counters_follow_every_transition(history):
    events = [source_seen(), published(T), lost(OTHER), started(T)]
    await history.record([batch(events)])
    assert (await history.totals(1)).states == {"celery": {"running": 1, "lost": 1}}
    await history.record([batch([succeeded(T), failed(OTHER)], first=5)])
    assert (await history.totals(1)).states == {"celery": {"succeeded": 1, "failed": 1}}


async def test_a_clock_far_ahead_does_not_decide_where_a_task_is_filed(history):
    year = 365 * 86_400 * 1_000_000
    await history.record([batch([source_seen(), started(OTHER, year), started(T)])])
    ahead, right = (await find(history, OTHER)).row, (await find(history)).row
    assert ahead.key >> 40 == right.key >> 40
    assert ahead.started_us == NOW_US + year
    assert (await history.totals(1)).newest_us < NOW_US + year


async def test_a_closed_store_says_so(history):
    await history.close()
    with pytest.raises(Unavailable):
        await history.record([])
    with pytest.raises(Unavailable):
        await history.totals(1)


async def test_what_was_stored_is_there_after_opening_again(history, kind):
    await history.record([batch([source_seen(), published(T)])])
    await history.close()
    again = kind.history()
    await again.open()
    await again.record([batch([started(T), published(OTHER, 9)], first=3)])
    assert (await again.totals(1)).states == {"celery": {"running": 1, "queued": 1}}
    assert (await find(again)).row.queue == "mail"
    await again.close()


@pytest.mark.parametrize("remembered", [0, 1, 20_000])
async def test_tasks_go_on_whether_they_are_remembered_or_read_again(
    history, monkeypatch, remembered
):
    monkeypatch.setattr("queuedeck.history.sql.tasks.MOST_RECENT", remembered)
    ids = [uuid_of(str(number)) for number in range(6)]
    lives = [
        [source_seen(), *(published(one, 0) for one in ids)],
        [started(one, 5) for one in ids],
        [retrying(one, 8) for one in ids],
        [started(one, 9, attempt=2) for one in reversed(ids)],
        [succeeded(one, 12, attempt=2) for one in ids],
        [published(one, 20) for one in ids],
        [failed(one, 23) for one in ids],
        [received(one, 1) for one in ids],
    ]
    first = 1
    for events in lives:
        await history.record([batch(events, first)])
        first += len(events)
    states = {"celery": {"succeeded": 6, "failed": 6}}
    assert (await history.totals(1)).states == states
    for one in ids:
        older, newest = await find(history, one, 1), await find(history, one)
        assert (older.row.state, older.row.attempt) == ("succeeded", 2)
        assert (newest.row.state, newest.generations) == ("failed", 2)
        assert len(older.timeline) + len(newest.timeline) == 8


async def test_a_cancel_request_reaches_a_task_that_is_remembered(history):
    await history.record([batch([source_seen(), published(T)])])
    key = (await find(history)).row.key
    await history.request_cancel(1, key)
    await history.record([batch([started(T)], first=3)])
    assert (await find(history)).row.cancel_requested
    await history.record([batch([succeeded(T)], first=4)])
    assert (await find(history)).row.cancel_requested
    assert await history.cancelled_waiting(1) == []
