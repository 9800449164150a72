# SPDX-License-Identifier: AGPL-3.0-only
"""Progress, tags, log lines and traces in the store: what is kept, what stays untouched, and what
they cost.
"""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_events import (
    NOW_US,
    SOURCE,
    batch,
    events_of,
    published,
    source_seen,
    started,
    uuid_of,
)
from tests.support.history_retention import Retained
from tests.support.history_stores import Listening

from queuedeck.clock import DAY_US
from queuedeck.domain.tasks.filters import parse
from queuedeck.history.filters import TaskFilter
from queuedeck.history.retention import Kept
from queuedeck.history.sql import listing
from queuedeck.history.sql.days import EXTRA_TABLES
from queuedeck.history.sql.extras import MAX_LOG_BYTES, MOST_TAGS
from queuedeck.history.sql.rows import Words
from queuedeck.history.sql.writer import Writer
from queuedeck.history.tasks import TaskState
from queuedeck_agent import wire

T, OTHER = uuid_of("task"), uuid_of("other")
TODAY = NOW_US // DAY_US
EXTRA_NAMES = {f"{table}_{TODAY}" for table in EXTRA_TABLES}


def progress(current, at=0, attempt=1, task_id=T, **more):
    return wire.TaskProgressed(NOW_US + at, SOURCE, task_id, attempt, current, **more)


def tagged(*tags, task_id=T, attempt=1):
    return wire.TaskTagged(NOW_US, SOURCE, task_id, attempt, tags)


def logged(*texts, first=1, attempt=1, task_id=T, left_out=0, at=0):
    lines = tuple(wire.LogLine(NOW_US + at, 30, "app.mail", text) for text in texts)
    return wire.TaskLogged(NOW_US + at, SOURCE, task_id, attempt, first, lines, left_out)


def traced(trace, attempt=1, task_id=T):
    return wire.TaskTraced(NOW_US, SOURCE, task_id, attempt, trace, "00f067aa0ba902b7")


async def find(history, task_id=T):
    return await history.find_task(1, "celery", task_id)


async def ids(history, text):
    page = await history.list_tasks(1, parse(text), 100)
    return {row.task_id for row in page.tasks}


async def test_progress_of_a_running_task_is_told_with_its_row(history):
    events = [source_seen(), published(T), started(T), progress(3, total=12.0, message="mails")]
    recorded = await history.record([batch(events)])
    assert recorded.tasks == {1: {("celery", T)}}
    (row,) = (await history.list_tasks(1, TaskFilter(), 10)).tasks
    assert (row.progress.current, row.progress.total) == (3, 12)
    assert (row.progress.message, row.progress.attempt) == ("mails", 1)
    assert row.state is TaskState.RUNNING


async def test_the_newest_progress_stays_in_any_order_over_groups(history):
    told = [progress(1), progress(5, at=10), progress(9, at=20), progress(2, at=5, attempt=2)]
    await history.record([batch([source_seen(), started(T)])])
    for number, one in enumerate([told[1], told[3], told[2], told[0]]):
        await history.record([batch([one], 3 + number)])
    assert (await find(history)).row.progress.current == 2


async def test_progress_without_a_total(history):
    await history.record([batch([source_seen(), started(T), progress(7.5)])])
    found = (await find(history)).row.progress
    assert (found.current, found.total) == (7.5, None)


async def test_extras_alone_make_no_task(history):
    events = [source_seen(), progress(1), tagged("a"), logged("x"), traced("ab" * 16)]
    recorded = await history.record([batch(events)])
    assert set(recorded.committed.values()) == {5}
    assert (await history.list_tasks(1, TaskFilter(), 10)).tasks == []
    assert (await history.totals(1)).events == 5


async def test_extras_that_come_before_their_start_in_the_same_group_are_kept(history):
    await history.record([batch([source_seen(), tagged("early"), started(T)])])
    assert (await find(history)).row.tags == ("early",)


async def test_tags_add_up_over_attempts_and_are_bounded(history):
    many = [f"t{number:02}" for number in range(30)]
    events = [source_seen(), started(T), tagged("b", "a"), tagged("a", attempt=2)]
    await history.record([batch(events)])
    assert (await find(history)).row.tags == ("a", "b")
    await history.record([batch([tagged(*many), tagged("", "x" * 65)], 5)])
    tags = (await find(history)).row.tags
    assert len(tags) == MOST_TAGS
    assert {"a", "b"} < set(tags) <= {"a", "b", *many}


async def test_lines_of_each_attempt_in_their_order(history):
    events = [
        source_seen(),
        started(T),
        logged("one", "two"),
        logged("three", first=3, at=1),
        logged("again", attempt=2, at=5),
        logged(first=2, attempt=2, left_out=4, at=6),
        started(T, attempt=2),
    ]
    await history.record([batch(events)])
    second, first = (await find(history)).attempts
    assert [line.text for line in first.lines] == ["one", "two", "three"]
    assert (first.lines[0].level, first.lines[0].logger) == (30, "app.mail")
    assert [line.text for line in second.lines] == ["again"]
    assert (first.lines_left_out, second.lines_left_out) == (0, 4)


async def test_lines_of_a_task_are_bounded_and_what_is_cut_is_said(history):
    await history.record([batch([source_seen(), started(T)])])
    line = "x" * 30_000
    for number in range(12):
        await history.record([batch([logged(line, first=number + 1, at=number)], 3 + number)])
    (attempt,) = (await find(history)).attempts
    assert 0 < len(attempt.lines) * len(line) <= MAX_LOG_BYTES
    assert len(attempt.lines) + attempt.lines_left_out == 12


async def test_the_trace_of_each_attempt(history):
    events = [source_seen(), started(T), traced("ab" * 16), started(T, attempt=2)]
    await history.record([batch([*events, traced("cd" * 16, attempt=2)])])
    second, first = (await find(history)).attempts
    assert (first.trace_id, second.trace_id) == ("ab" * 16, "cd" * 16)
    assert await ids(history, f"trace:{'cd' * 16}") == {T}
    assert await ids(history, f"trace:{'ef' * 16}") == set()


@pytest.fixture
async def tags(history):
    """Four tasks, of which one has no tag."""
    given = {"a": ["customer-1", "vip"], "b": ["customer-2"], "c": ["vip"], "d": []}
    events = [source_seen()]
    for name, some in given.items():
        events += [published(uuid_of(name)), started(uuid_of(name))]
        events += [tagged(*some, task_id=uuid_of(name))] if some else []
    await history.record([batch(events)])
    return history


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tag:vip", "ac"),
        ("tag:vip,customer-2", "abc"),
        ("tag:customer-*", "ab"),
        ("tag:*-2", "b"),
        ("tag:c*r-1", "a"),
        ("tag:nothing", ""),
        ("tag:no*", ""),
        ("-tag:vip", "bd"),
        ("-tag:customer-*", "cd"),
        ("tag:vip -tag:customer-*", "c"),
        ("tag:customer-* state:running task:app.*", "ab"),
        ("tag:vip app.mail", "ac"),
        ("state:failed tag:vip", ""),
    ],
)
async def test_tags_in_the_filter(tags, text, found):
    assert await ids(tags, text) == {uuid_of(name) for name in found}


async def test_tags_are_a_facet_that_leaves_itself_out(tags):
    counts = (await tags.facets(1, parse("tag:vip"))).by_key["tag"]
    assert counts.values == {"vip": 2, "customer-1": 1, "customer-2": 1}


async def test_another_project_sees_no_tag_of_ours(tags):
    mine = batch([source_seen(), started(T)], lane="b" * 32, project_id=2)
    await tags.record([mine])
    page = await tags.list_tasks(2, parse("tag:vip"), 10)
    assert page.tasks == []
    assert (await tags.facets(2, TaskFilter())).by_key["tag"].values == {}


@pytest.mark.parametrize("text", ["tag:gold", "tag:go*", "trace:" + "ab" * 16])
def test_a_mark_is_found_by_its_index(kind, text):
    """Few rows are read, however many tasks there are."""
    writer = kind.writer()
    events = [source_seen()]
    for number in range(600):
        task = uuid_of(f"t{number}")
        events += [started(task), tagged("gold" if number % 200 == 0 else "iron", task_id=task)]
        events += [traced("ab" * 16, task_id=task)] if number % 200 == 0 else []
    writer.record([batch(events)])
    writer.close()

    def question(db):
        listening = Listening(db)
        found = listing.list_tasks(listening, Words(), NOW_US, 1, parse(text), 50, "")
        return len(found.tasks), listening.read

    found, read = kind.ask(question)
    assert found == 3
    assert read < 40


def test_a_list_without_extras_asks_for_none(kind):
    writer = kind.writer()
    writer.record([batch([source_seen(), started(T), started(OTHER)])])
    assert not EXTRA_NAMES & kind.ask(kind.names)
    plain = _statements(kind)
    writer.record([batch([progress(1), tagged("a"), tagged("b", task_id=OTHER)], 4)])
    assert kind.ask(kind.names) > EXTRA_NAMES
    assert _statements(kind) == plain + 2
    writer.close()


def _statements(kind):
    def ran(db):
        listening = Listening(db)
        listing.list_tasks(listening, Words(), NOW_US, 1, TaskFilter(), 50, "")
        return len(listening.ran)

    return kind.ask(ran)


def test_a_group_writes_extras_in_a_fixed_number_of_statements(kind):
    def ran(tasks):
        db = Listening(kind.open())
        writer = Writer(db, lambda: NOW_US)
        names = [uuid_of(f"{tasks}/{number}") for number in range(tasks)]
        lane = f"{tasks:032x}"
        writer.record([batch([source_seen(), *map(started, names)], lane=lane)])
        first = tasks + 2
        for _ in range(2):
            events = [
                event
                for name in names
                for event in (
                    progress(1, task_id=name),
                    tagged("a", task_id=name),
                    logged("x", task_id=name),
                    traced("ab" * 16, task_id=name),
                )
            ]
            db.ran.clear()
            writer.record([batch(events, first, lane=lane)])
            first += len(events)
        writer.close()
        return len(db.ran)

    ran(1)  # makes the tables
    assert ran(2) == ran(50)


def test_progress_that_goes_on_rewrites_no_task(kind):
    db = Listening(kind.open())
    writer = Writer(db, lambda: NOW_US)
    writer.record([batch([source_seen(), started(T), progress(1)])])
    db.ran.clear()
    writer.record([batch([progress(2, at=1)], 4)])
    assert not [sql for sql in db.ran if f" task_{TODAY} " in sql]
    writer.close()


_extras = st.one_of(
    st.builds(progress, st.integers(0, 5), at=st.integers(0, 40), attempt=st.integers(1, 3)),
    st.builds(tagged, st.sampled_from("abc"), attempt=st.integers(1, 3)),
    st.builds(logged, st.just("x"), attempt=st.integers(1, 3), left_out=st.integers(0, 2)),
    st.builds(traced, st.just("ab" * 16), attempt=st.integers(1, 3)),
)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(facts=st.lists(events_of([T]), min_size=1, max_size=8), data=st.data())
def test_extras_never_change_a_state(kind, facts, data):
    """Anywhere between the events, any number of them: the row is as without them."""
    mixed = [*facts]
    for one in data.draw(st.lists(_extras, max_size=8)):
        mixed.insert(data.draw(st.integers(0, len(mixed))), one)
    rows = []
    for events in (facts, mixed):
        with kind.fresh() as writer:
            first = 1
            for group in _groups(events):
                writer.record([batch(group, first)])
                first += len(group)
            rows.append(_states(writer.db))
    assert rows[0] == rows[1]


def _groups(events):
    everything = [source_seen(), *events]
    return [everything[at : at + 3] for at in range(0, len(everything), 3)]


def _states(db):
    found = db.execute(
        f"SELECT ext, generation, state, name, queue, attempt, exception, facts FROM task_{TODAY}"
        " ORDER BY n"
    )
    return [tuple(row) for row in found]


@pytest.fixture
def aged(kind):
    """Three days with a task that said all it could, and the days after them."""
    one = Retained(kind)
    for number in range(3):
        one.at, task = number * DAY_US, uuid_of(f"said {number}")
        said = [tagged("kept", task_id=task), traced("ab" * 16, task_id=task)]
        said += [progress(1, task_id=task), logged("x" * 100, task_id=task)]
        one.record([started(task, one.at), *said])
    yield one
    one.close()


def _rows(one, table, day):
    name = f"{table}_{TODAY + day}"
    return one.db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]


def test_extras_go_with_their_day(aged):
    aged.at = 12 * DAY_US
    aged.tidy(keep=5)
    assert not any(re.fullmatch("(progress|tag|trace|log|log_use)_.*", n) for n in aged.tables())


def test_log_lines_and_progress_go_with_the_payloads_and_tags_with_the_task(aged):
    aged.at = 12 * DAY_US
    aged.tidy(keep=100)

    def thin(task_days, payload_days):
        kept = Kept(project_id=1, task_days=task_days, payload_days=payload_days)
        while aged.writer.thin(kept):
            pass
        return {table: _rows(aged, table, 0) for table in EXTRA_TABLES}

    assert thin(100, 5) == {"progress": 0, "tag": 1, "trace": 1, "log": 0, "log_use": 0}
    assert thin(5, 5) == dict.fromkeys(EXTRA_TABLES, 0)


@pytest.fixture
def thinned(kind):
    one = Retained(kind)
    one.record([started(T), tagged("a"), logged("gone"), progress(1)])
    one.at = 12 * DAY_US
    one.tidy(keep=100)
    while one.writer.thin(Kept(project_id=1, task_days=100, payload_days=5)):
        pass
    one.close()
    return kind


async def test_a_task_whose_log_was_deleted_is_still_shown(thinned):
    store = thinned.history(lambda: NOW_US + 12 * DAY_US)
    await store.open()
    found = await find(store)
    await store.close()
    assert (found.row.tags, found.row.progress, found.attempts[0].lines) == (("a",), None, ())
