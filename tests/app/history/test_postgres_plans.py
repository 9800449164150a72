# SPDX-License-Identifier: AGPL-3.0-only
"""What readers ask of Postgres costs the same in a small and a large history, in rows and in pages,
whatever the planner knows: with plans that were made when the tables were empty, without any
statistics, with those of when there were few tasks, and with all.
"""

import asyncio
from contextlib import closing
from functools import partial

import pytest
from tests.support.history_events import NOW_US, batch, source_seen, started, uuid_of
from tests.support.history_many import FEW, LISTS, MANY, events_of, fill
from tests.support.history_stores import PostgresKind
from tests.support.postgres_plans import Watched

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.domain.tasks.filters import parse
from queuedeck.history.failures import FailureOrder
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql import (
    detail,
    groups,
    queues,
    selection,
    survey,
    suspects,
    totals,
    trends,
    values,
    walk,
)
from queuedeck.history.sql.listing import list_tasks
from queuedeck.history.sql.rows import Words
from queuedeck.history.sql.writer import Writer
from queuedeck.history.tasks import TaskState
from queuedeck.history.trends import TaskOrder, TrendFilter

OFTEN = 7
"""From its sixth time on a statement may have a plan that is not made for its values."""
OTHERS = 21 + 40 + 2 * OFTEN * 10
"""Tasks beside those of a history's size."""
KNOWN = ["plans of empty tables", "no statistics", "statistics of few tasks", "statistics"]
SINCE_US = NOW_US - 15 * MINUTE_US
TREND = (1, SINCE_US, NOW_US, MINUTE_US)
MORE_LISTS = [
    "queue:mail",
    "worker:w1@host",
    "error:ValueError",
    "runtime:<1s",
    "engine:celery state:failed",
    "state:succeeded",
    f"id:{uuid_of('7')},{uuid_of('9')}",
    uuid_of("7")[:8],
]


def listed(text, db):
    return list_tasks(db, Words(), NOW_US, 1, parse(text), 20, "").tasks


READS = {
    **{f"list: {text or 'all'}": partial(listed, text) for text in (*LISTS, *MORE_LISTS)},
    "a task by id": lambda db: detail.find_task(db, Words(), 1, "celery", uuid_of("40")),
    "facets": lambda db: survey.read_facets(db, Words(), NOW_US, 1, TaskFilter()),
    "facets of a filter": lambda db: survey.read_facets(
        db, Words(), NOW_US, 1, parse("state:failed task:app.*")
    ),
    "histogram": lambda db: survey.read_histogram(db, NOW_US, 1, TaskFilter()).bars,
    "histogram of a filter": lambda db: (
        survey.read_histogram(db, NOW_US, 1, parse("state:failed")).bars
    ),
    "trend": lambda db: trends.read_trend(db, *TREND, TrendFilter()).total.ended,
    "trend of a task": lambda db: (
        trends.read_trend(db, *TREND, TrendFilter(task="app.task_3")).total.ended
    ),
    "trend of a queue": lambda db: (
        trends.read_trend(db, *TREND, TrendFilter(queue="mail")).total.arrived
    ),
    "trend of a worker": lambda db: (
        trends.read_trend(db, *TREND, TrendFilter(worker="w1@host")).total.ended
    ),
    "trends by task": lambda db: trends.read_task_trends(db, *TREND, TaskOrder.ENDED, 5).tasks,
    "queue counts": lambda db: queues.read_queue_counts(db, 1, SINCE_US, NOW_US),
    "queue names": lambda db: queues.read_queue_names(db, 1, SINCE_US),
    "failure groups": lambda db: groups.read_groups(db, 1, FailureOrder.LAST, 0, 20, NOW_US).groups,
    "a failure group": lambda db: groups.read_group(db, Words(), 1, group_id(db), NOW_US),
    "open tasks": lambda db: suspects.read_open(db, Words(), 1, [TaskState.RUNNING], 0, 20).tasks,
    "totals": lambda db: totals.read_totals(db, 1).states,
    "values": lambda db: values.read_values(db, Words(), NOW_US, 1, "task", "3", TaskFilter(), 9),
    "tasks by key": lambda db: selection.read_selected(db, Words(), 1, keys(db)),
    "sealed calls": lambda db: selection.sealed_calls(db, 1, keys(db)) == {},
    "sealed call": lambda db: detail.sealed_call(db, 1, listed("", db)[0].key) == b"",
}


def keys(db):
    return [task.key for task in listed("", db)]


def group_id(db):
    return groups.read_groups(db, 1, FailureOrder.COUNT, 0, 1, NOW_US).groups[0].id


class Filled:
    """A history of so many tasks, and what each read costs with all that its planner may know."""

    def __init__(self, tasks, was_analyzed_early):
        self._kind = PostgresKind(f"of_{tasks}_{was_analyzed_early}")
        self.costs = {}
        store = self._kind.history()
        asyncio.run(store.open())
        # So few that any plan is good, and of times that nothing here asks for.
        few = [event for number in range(20_020, 19_999, -1) for event in events_of(number)]
        asyncio.run(store.record([batch([source_seen(), *few])]))
        asyncio.run(store.index_words())
        early = Watched(self._kind.reader())
        if was_analyzed_early:
            early.analyze()
        for read in READS.values():
            often(early, read)
        asyncio.run(fill(store, tasks, 2 + len(few)))
        running = [started(uuid_of(f"runs {number}")) for number in range(40)]
        asyncio.run(store.record([batch(running, 3 + len(few) + 3 * tasks)]))
        asyncio.run(store.close())
        self.reader = Watched(self._kind.reader())
        if was_analyzed_early:
            self._measure("statistics of few tasks", early)
            early.close()
            return
        self._measure("plans of empty tables", early)
        early.close()
        self._measure("no statistics", self.reader)
        self.groups = [self._group(0)]
        self.reader.analyze()  # Plans of before are made anew.
        self._measure("statistics", self.reader)
        self.groups.append(self._group(OFTEN))

    def _group(self, at):
        """What the last of some groups of events costs the writer."""
        with closing(Watched(self._kind.open())) as watched:
            costs = []
            writer = Writer(watched.db, lambda: NOW_US)
            for number in range(at, at + OFTEN):
                first = 50 - number * 10
                events = [e for n in range(first, first - 10, -1) for e in events_of(n - 5_000)]
                group = [batch(events, 1, lane=f"{number + 1:032x}")]
                costs.append(watched.cost_of(lambda _db, group=group: writer.record(group))[0])
            return costs[-1]

    def _measure(self, known, reader):
        for name, read in READS.items():
            self.costs[known, name] = often(reader, read)

    def close(self):
        self.reader.close()
        self._kind.close()


def often(reader, read):
    """What it costs the last of several times, and the answer."""
    return [reader.cost_of(read) for _ in range(OFTEN)][-1]


@pytest.fixture(scope="module")
def histories():
    with pytest.MonkeyPatch.context() as patch:
        # Cost is counted here, not timed.
        patch.setattr(walk, "BUDGET_S", 60.0)
        patch.setattr(walk, "CHUNK_ROWS", 60)
        patch.setattr(survey, "SURVEY_S", 60.0)
        patch.setattr(survey, "MOST_MATCHES", 70)
        patch.setattr(survey, "STEP", 30)
        found = [Filled(tasks, early) for early in (False, True) for tasks in (FEW, MANY)]
    yield found
    for one in found:
        one.close()


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("known", KNOWN)
def test_a_question_costs_the_same_in_a_small_and_a_large_history(histories, known, name):
    costs = [one.costs[known, name] for one in histories if (known, name) in one.costs]
    (few, few_found), (many, many_found) = costs
    told = "\n".join(many.plans)
    assert few_found
    assert many_found
    assert not few.scanned | many.scanned, told
    assert many.statements == few.statements, told
    assert many.rows <= 1.5 * few.rows + 50, told
    assert many.pages <= 1.5 * few.pages + 2 * many.rows + 100, told


def test_a_group_costs_the_same_in_a_small_and_a_large_history(histories):
    for few, many in zip(*(one.groups for one in histories[:2]), strict=True):
        told = "\n".join(many.plans)
        assert many.statements == few.statements, told
        assert many.rows <= 1.5 * few.rows + 50, told
        assert many.pages <= 1.5 * few.pages + 2 * many.rows + 100, told
        assert not few.scanned | many.scanned, told


def test_reading_from_end_to_end_would_be_noticed(histories):
    """The measure itself: what reads all tasks costs more where there are more."""
    day = NOW_US // DAY_US

    def count(db):
        return db.execute(f"SELECT count(*) FROM task_{day} WHERE run_us > 0").fetchone()

    def scan(db):
        db.script("SET enable_seqscan = on")
        try:
            return db.execute(f"SELECT count(*) FROM task_{day} WHERE wait_us > 0").fetchone()
        finally:
            db.script("SET enable_seqscan = off")

    few, many = [one.reader.cost_of(count)[0] for one in histories[:2]]
    assert (few.rows, many.rows) == (FEW + OTHERS, MANY + OTHERS)
    assert many.pages > 3 * few.pages
    cost, _ = histories[1].reader.cost_of(scan)
    assert cost.scanned == {f"task_{day}"}
