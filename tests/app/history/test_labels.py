# SPDX-License-Identifier: AGPL-3.0-only
"""Labels and marks in the store: when they are given, how they are found, and what they cost."""

import asyncio
from contextlib import closing

import pytest
from tests.support.history_days import DayByDay
from tests.support.history_events import (
    batch,
    failed,
    published,
    received,
    retrying,
    source_seen,
    started,
    succeeded,
    uuid_of,
)
from tests.support.history_stores import Listening

from queuedeck.domain.tasks.filters import parse
from queuedeck.history.batches import Batch
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.writer import Writer

T = uuid_of("task")
BAD = b'{"error":1}'


class Rules:
    """Labels with the arguments as they are, marks results with `error` in them."""

    def label(self, name, args):
        return args.decode().strip('{"}')

    def mark(self, name, result):
        return "bad" if b"error" in result else ""


class Broken:
    def label(self, name, args):
        raise LookupError(name)

    mark = label


def by(rules, *events, first=1, project_id=1):
    made = batch(events, first, project_id=project_id, lane="ab"[project_id - 1] * 32)
    return Batch(
        made.project_id, made.lane, made.agent_id, made.first, made.last, made.events, rules
    )


class Told:
    """Records events by rules, and reads what is shown."""

    def __init__(self, history):
        self.history = history
        self._next = 1

    async def record(self, *events, rules=None):
        one = by(rules or Rules(), *events, first=self._next)
        self._next = (await self.history.record([one])).committed[one.lane] + 1

    async def row(self, task_id=T):
        return (await self.history.find_task(1, "celery", task_id)).row

    async def ids(self, text):
        page = await self.history.list_tasks(1, parse(text), 50)
        return [row.task_id for row in page.tasks]


@pytest.fixture
async def told(history):
    told = Told(history)
    await told.record(source_seen())
    return told


@pytest.mark.parametrize("apart", [False, True], ids=["one group", "each its own"])
@pytest.mark.parametrize(
    ("events", "label"),
    [
        ([published(T, args=b"a"), started(T)], "a"),
        ([published(T), received(T), started(T, args=b"b")], "b"),
        ([received(T), started(T, args=b"b"), published(T, args=b"a")], "a"),
        ([started(T, args=b"b"), published(T)], "b"),
        ([published(T, args=b"a"), started(T, args=b"b"), succeeded(T)], "a"),
        ([published(T), failed(T)], ""),
    ],
)
async def test_label_comes_from_the_sender_first_whatever_the_order(told, events, label, apart):
    for some in [[one] for one in events] if apart else [events]:
        await told.record(*some)
    assert (await told.row()).label == label
    assert await told.ids(f"label:{label or 'x'}") == ([T] if label else [])
    assert await told.ids("-label:*") == ([] if label else [T])


@pytest.mark.parametrize("apart", [False, True], ids=["one group", "each its own"])
@pytest.mark.parametrize(
    ("events", "mark"),
    [
        ([started(T), succeeded(T, result=BAD)], "bad"),
        ([succeeded(T, result=BAD), started(T)], "bad"),
        ([succeeded(T, result=b"{}")], ""),
        ([succeeded(T)], ""),
        ([retrying(T), succeeded(T, attempt=2, result=BAD)], "bad"),
        ([succeeded(T, result=BAD), started(T, attempt=2), failed(T, attempt=2)], ""),
        ([failed(T, attempt=2), succeeded(T, result=BAD)], ""),
        ([succeeded(T, result=BAD), succeeded(T, 5, attempt=2, result=b"{}")], ""),
        ([succeeded(T, 5, attempt=2, result=b"{}"), succeeded(T, result=BAD)], ""),
    ],
)
async def test_mark_is_of_the_newest_attempt_that_succeeded(told, events, mark, apart):
    for some in [[one] for one in events] if apart else [events]:
        await told.record(*some)
    row = await told.row()
    assert row.mark == mark
    assert row.state == "succeeded" or not mark
    assert await told.ids("marked:yes") == ([T] if mark else [])
    assert await told.ids("-marked:yes") == await told.ids("marked:no") == ([] if mark else [T])


@pytest.fixture
async def shop(told):
    """Six tasks: three jobs twice each, the second of which is marked."""
    for number in range(6):
        task_id = uuid_of(str(number))
        job = [b"import users", b"import orders", b"report_%"][number % 3]
        result = BAD if number > 2 else b"{}"
        await told.record(
            published(task_id, number * 9, args=job, name=f"app.run_{number % 2}"),
            succeeded(task_id, number * 9 + 5, result=result),
        )
    other = by(Rules(), source_seen(), published(T, args=b"import users"), project_id=2)
    await told.history.record([other])
    return told


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('label:"import users"', [3, 0]),
        ('label:"import users","import orders"', [4, 3, 1, 0]),
        ("label:import*", [4, 3, 1, 0]),
        ("label:*_%", [5, 2]),
        ("label:*", [5, 4, 3, 2, 1, 0]),
        ("-label:import*", [5, 2]),
        ('-label:"import users"', [5, 4, 2, 1]),
        ("label:import", []),
        ("label:import* marked:yes", [4, 3]),
        ("label:import* task:app.run_1", [3, 1]),
        ('label:"import users" state:succeeded task:app.run_0', [0]),
        (f'label:"import users" id:{uuid_of("3")}', [3]),
        ("marked:yes", [5, 4, 3]),
        ("marked:no", [2, 1, 0]),
        ("marked:yes,no", [5, 4, 3, 2, 1, 0]),
        ("marked:yes -marked:yes", []),
        ("marked:yes app.run_1", [5, 3]),
    ],
)
async def test_labels_and_marks_are_found(shop, text, found):
    assert await shop.ids(text) == [uuid_of(str(number)) for number in found]


async def test_labels_are_counted_under_the_rest_of_the_question(shop):
    facets = await shop.history.facets(1, parse('marked:yes label:"import users"'))
    assert facets.by_key["label"].values == {"import users": 1, "import orders": 1, "report_%": 1}
    assert facets.by_key["task"].values == {"app.run_1": 1}


async def test_samples_hold_what_rules_are_tried_on(shop):
    samples = await shop.history.samples(1, parse("task:app.run_1"), 2)
    found = [(one.task_id, one.name, one.args, one.result) for one in samples]
    assert found == [
        (uuid_of("5"), "app.run_1", b"report_%", BAD),
        (uuid_of("3"), "app.run_1", b"import users", BAD),
    ]


async def test_rule_that_fails_costs_the_label_and_nothing_else(told, caplog):
    await told.record(published(T, args=b"a"), succeeded(T, result=BAD), rules=Broken())
    row = await told.row()
    assert (row.state, row.label, row.mark) == ("succeeded", "", "")
    assert "LookupError" in caplog.text


async def test_tasks_stay_as_they_are_when_rules_go(told):
    await told.record(published(T, args=b"a"))
    await told.record(started(T, args=b"b"), succeeded(T, result=b"{}"), rules=None)
    assert (await told.row()).label == "a"


class Silent:
    """The rules of a project none of whose names fits."""

    def label(self, name, args):
        return ""

    mark = label


def statements(db, *groups):
    """What each group asked of the database."""
    listening = Listening(db)
    writer = Writer(listening, lambda: 1_800_000_000_000_000)
    writer.record([batch([source_seen(), *lives("warm")])])
    counts = []
    at = 2 + len(lives("warm"))
    for number, (rules, size) in enumerate(groups):
        events = [event for n in range(size) for event in lives(f"{number}-{n}")]
        before = len(listening.ran)
        writer.record([by(rules, *events, first=at)])
        counts.append(len(listening.ran) - before)
        at += len(events)
    return counts


def lives(name):
    task_id = uuid_of(name)
    return [
        published(task_id, args=name.encode()),
        started(task_id),
        succeeded(task_id, result=BAD),
    ]


def test_statements_of_a_group_do_not_grow_with_its_labels(kind):
    with closing(kind.open()) as db:
        _, none, silent, first, few, many = statements(
            db, (None, 20), (None, 20), (Silent(), 20), (Rules(), 5), (Rules(), 10), (Rules(), 60)
        )
    assert none == silent
    assert first - few <= 3  # The title of the rule is a new word.
    assert few == many == none + 1  # Marks; labels come with the rows.


def take_back(kind):
    with closing(kind.open()) as db:
        (day,) = (row[0] for row in db.execute("SELECT day FROM day"))
        for index in ("label", "mark"):
            db.execute(f"DROP INDEX task_{day}_{index}")
            db.execute(f"ALTER TABLE task_{day} DROP COLUMN {index}")
        db.execute("UPDATE day SET layout = 2")


async def test_day_of_the_layout_before_goes_on_with_labels(kind):
    """As version 0.0 left it: without the columns, and with tasks in it."""
    days = DayByDay(kind)
    await days.store.open()
    await days.record(source_seen(), published(uuid_of("old"), args=b"x"))
    await days.store.close()
    await asyncio.to_thread(take_back, kind)
    again = kind.history()
    await again.open()
    told = Told(again)
    told._next = 3
    await told.record(published(T, args=b"new"), succeeded(T, result=BAD))
    assert await told.ids("label:new") == await told.ids("marked:yes") == [T]
    assert await told.ids("-label:*") == [uuid_of("old")]
    assert (await told.row(uuid_of("old"))).label == ""
    assert await again.list_tasks(1, TaskFilter(), 5)
    await again.close()
    assert kind.rows("SELECT layout FROM day") == [(3,)]
