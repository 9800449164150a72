# SPDX-License-Identifier: AGPL-3.0-only
"""P6 and P7: tables hold what the pure model says, however events were cut, grouped, re-sent."""

import sqlite3
from collections import Counter, defaultdict

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_events import Dictionary, batch, events_of, uuid_of
from tests.support.history_stores import PostgresKind, SqliteKind

from queuedeck.history.derive import derive
from queuedeck.history.facts import fact_of
from queuedeck.history.sql.days import read_days
from queuedeck.history.sql.identity import unpack
from queuedeck.history.sql.names import STATE_NUMBERS
from queuedeck.history.sql.packed_facts import unpack_fact, unpack_facts
from queuedeck.history.sql.tasks import FLAG_CONFLICT
from queuedeck.history.sql.totals import read_totals
from queuedeck.history.states import as_reported, generation_of, merge
from queuedeck.history.tasks import TaskState

IDS = [uuid_of("one"), uuid_of("two").replace("-", ""), "cron:nightly/1"]
LANES = ["a" * 32, "b" * 32]
CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


class Model:
    """The same history in plain dictionaries."""

    def __init__(self):
        self.tasks = {}
        self.all = defaultdict(set)
        self._intern = Dictionary()

    def add(self, event):
        fact = fact_of(event, self._intern)
        generations = self.tasks.setdefault(event.task_id, [])
        number = generation_of(fact, generations)
        if all(number != known for known, _ in generations):
            generations.insert(0, (number, {}))
        merge(dict(generations)[number], fact)
        self.all[event.task_id, number].add(fact)

    def rows(self):
        return {
            (task_id, number): (facts, derive(facts), self.all[task_id, number])
            for task_id, generations in self.tasks.items()
            for number, facts in generations
        }


@st.composite
def deliveries(draw):
    """(events in the order they are first delivered, groups of batches with repetitions)."""
    # Few ids and one attempt: then ids are used again, and generations open.
    ids, attempts = draw(st.sampled_from([(IDS, 3), (IDS[:1], 1), (IDS[2:], 1)]))
    fewest = draw(st.sampled_from([1, 15]))
    events = draw(st.lists(events_of(ids, attempts), min_size=fewest, max_size=30))
    ends = dict.fromkeys(LANES, 0)
    sent, groups, at = [], [[]], 0
    while at < len(events):
        size = draw(st.integers(1, 6))
        lane = draw(st.sampled_from(LANES))
        part = batch(events[at : at + size], ends[lane] + 1, lane)
        ends[lane] = part.last
        at += size
        sent.append(part)
        repeated = draw(st.lists(st.sampled_from(sent), max_size=2))
        for one in [part, *repeated]:
            groups[-1].append(one)
            if draw(st.booleans()):
                groups.append([])
    return events, [group for group in groups if group]


def stored(kind, db):
    """Every task of every day as a dictionary of its columns; `spare` has its other facts."""
    found = []
    for day in read_days(db):
        for task in kind.dicts(db, f"SELECT * FROM task_{day}"):
            rows = db.execute(f"SELECT fact FROM spare_{day} WHERE n = ?", (task["n"],))
            found.append(task | {"spare": {unpack_fact(data) for (data,) in rows}})
    return found


def expected_columns(task):
    running = task.started_us if task.state is TaskState.RUNNING else None
    names = ["name", "queue", "worker", "attempt", "exception", "seen_us", "wait_us", "run_us"]
    return {name: getattr(task, name) for name in names} | {
        "state": STATE_NUMBERS[task.state],
        "flags": FLAG_CONFLICT if task.conflicting else 0,
        "running_us": running,
    }


def check_equal(kind, db, model):
    rows = {(unpack(row["ext"]), row["generation"]): row for row in stored(kind, db)}
    expected = model.rows()
    assert rows.keys() == expected.keys()
    for key, (facts, task, all_facts) in expected.items():
        row = rows[key]
        assert unpack_facts(row["facts"]) == facts
        assert row["spare"] == all_facts - {as_reported(fact) for fact in facts.values()}
        columns = expected_columns(task)
        assert {name: row[name] for name in columns} == columns


def check_counters(kind, db, events):
    counted = dict(
        db.execute(
            "SELECT state, sum(n) FROM state_count GROUP BY state HAVING sum(n) <> 0"
        ).fetchall()
    )
    rows = stored(kind, db)
    assert counted == Counter(row["state"] for row in rows)
    assert db.execute("SELECT sum(tasks) FROM usage").fetchone()[0] == len(rows)
    assert read_totals(db, 1).events == events


def check_any_grouping(kind, delivery):
    events, groups = delivery
    model = Model()
    for event in events:
        model.add(event)
    with kind.fresh() as writer:
        for group in groups:
            writer.record(group)
        check_equal(kind, writer.db, model)
        check_counters(kind, writer.db, len(events))


def check_failing_groups(kind, delivery, data):
    events, groups = delivery
    model = Model()
    for event in events:
        model.add(event)
    with kind.fresh() as writer:
        for group in groups:
            if data.draw(st.booleans()):
                fail_once(kind, writer, group)
            writer.record(group)
        check_equal(kind, writer.db, model)
        check_counters(kind, writer.db, len(events))


def fail_once(kind, writer, group):
    """The last statements of the transaction fail, as on a full disk."""
    kind.refuse_lanes(writer.db)
    with pytest.raises((sqlite3.Error, asyncpg.PostgresError)):
        writer.record(group)
    kind.take_lanes(writer.db)


def examples(number):
    return settings(max_examples=number, deadline=None, suppress_health_check=CHECKS)


@pytest.fixture
def sqlite(tmp_path):
    return SqliteKind(tmp_path)


@pytest.fixture
def postgres():
    kind = PostgresKind()
    yield kind
    kind.close()


@examples(120)
@given(deliveries())
def test_p6_tables_equal_the_model_for_any_grouping(sqlite, delivery):
    check_any_grouping(sqlite, delivery)


@examples(40)
@given(deliveries(), st.data())
def test_p6_a_group_that_failed_leaves_nothing_behind(sqlite, delivery, data):
    check_failing_groups(sqlite, delivery, data)


# To make and drop the tables of a day takes Postgres longer than all the rest of an example.
@examples(30)
@given(deliveries())
def test_p6_tables_equal_the_model_for_any_grouping_on_postgres(postgres, delivery):
    check_any_grouping(postgres, delivery)


@examples(12)
@given(deliveries(), st.data())
def test_p6_a_group_that_failed_leaves_nothing_behind_on_postgres(postgres, delivery, data):
    check_failing_groups(postgres, delivery, data)
