# SPDX-License-Identifier: AGPL-3.0-only
"""On Postgres the writer only counts; what takes long is done beside it."""

import pytest
from tests.support.history_events import published, succeeded, uuid_of
from tests.support.history_retention import KEEP, TODAY, Retained, counted, found, life
from tests.support.history_stores import PostgresKind
from tests.support.postgres_plans import Watched

from queuedeck.clock import DAY_US
from queuedeck.history.postgres import upkeep as drop
from queuedeck.history.retention import Kept
from queuedeck.history.sql import thinning, upkeep


@pytest.fixture
def kind():
    kind = PostgresKind()
    yield kind
    kind.close()


@pytest.fixture
def day(kind, monkeypatch):
    monkeypatch.setattr(upkeep, "DROP_ROWS", 7)
    monkeypatch.setattr(upkeep, "CARRY_ROWS", 7)
    monkeypatch.setattr(drop, "UNCOUNT_ROWS", 7)
    monkeypatch.setattr(drop, "LOCK_MS", 50)
    one = Retained(kind)
    yield one
    one.close()


def tables_of(day, number):
    return {name for name in day.tables() if name.endswith(f"_{TODAY + number}")}


def costs_of(watched, step):
    """Of every step there is."""
    costs = []
    more = True
    while more:
        cost, more = watched.cost_of(lambda _db: step())
        costs.append(cost)
        assert len(costs) < 1_000
    return costs


def test_a_step_of_the_writer_reads_few_rows_and_drops_nothing(day):
    for number, tasks in enumerate((400, 40, 40, 40, 40, 40, 40)):
        day.fill(number, tasks)
    watched = Watched(day.db)
    costs = costs_of(watched, lambda: day.writer.tidy(KEEP, 0))
    # A slice of one table, the counters of three states, and what says how far it is.
    assert max(cost.rows for cost in costs) <= 4 * 7 + 20
    assert max(cost.statements for cost in costs) <= 12
    assert not any(cost.scanned for cost in costs)
    assert len(costs) > (400 + 40) / 7
    assert {f"task_{TODAY}", f"call_{TODAY}"} <= tables_of(day, 0)
    assert day.days() == [2, 3, 4, 5, 6]


def test_tables_of_a_day_that_is_gone_go_one_by_one(day):
    for number in range(6):
        day.fill(number, 3)
    while day.writer.tidy(KEEP, 0):
        pass
    kept = tables_of(day, 1)
    assert kept
    heads = ("task", "call", "outcome", "spare", "minute")
    left = [head for head in heads if f"{head}_{TODAY}" in day.tables()]
    assert left == [*heads]
    for _ in heads:
        assert day.kind.ask(drop.drop_table)
        left.append(sum(f"{head}_{TODAY}" in day.tables() for head in heads))
    assert left[len(heads) :] == [4, 3, 2, 1, 0]
    assert tables_of(day, 0) == set()
    assert not day.kind.ask(drop.drop_table)
    assert tables_of(day, 1) == kept


def test_what_is_about_to_go_is_not_counted_as_used(day):
    for number in range(6):
        day.fill(number, 100)
    before = drop.used_bytes(day.db)
    while day.writer.tidy(KEEP, 0):
        pass
    with_tables = drop.used_bytes(day.db)
    assert with_tables < before
    while day.writer.give_back():
        assert drop.used_bytes(day.db) == with_tables


def test_a_reader_of_before_is_not_waited_for(day):
    for number in range(6):
        day.fill(number, 10)
    reader = day.kind.reader()
    reader.execute(reader.dialect.BEGIN_READING)
    for table in ("call", "minute", "outcome", "spare", "task"):
        reader.execute(f"SELECT count(*) FROM {table}_{TODAY}")
    while day.writer.tidy(KEEP, 0):
        pass
    assert not day.kind.ask(drop.drop_table)
    day.record(life("meanwhile", day.at))
    assert f"task_{TODAY}" in day.tables()
    reader.execute("COMMIT")
    reader.close()
    day.tidy()
    assert tables_of(day, 0) == set()
    assert counted(day.db) == found(day)


def test_a_day_begins_anew_before_its_old_tables_are_gone(day):
    day.fill(0, 3)
    day.at = 20 * DAY_US  # A clock that is far ahead.
    day.record([published(uuid_of("ahead"), day.at)])
    while day.writer.tidy(KEEP, 0):
        pass
    assert f"task_{TODAY}" in day.tables()
    day.at = DAY_US // 2
    day.record([published(uuid_of("right"), 9)])
    day.record([succeeded(uuid_of("right"), 10)])
    assert day.db.execute(f"SELECT count(*) FROM task_{TODAY}").fetchone()[0] == 1
    day.tidy()
    assert day.db.execute(f"SELECT count(*) FROM task_{TODAY}").fetchone()[0] == 1


@pytest.mark.parametrize(
    ("task_days", "payload_days"), [(0, 0), (99, 0)], ids=["tasks", "payloads"]
)
def test_a_step_of_thinning_reads_few_rows(day, monkeypatch, task_days, payload_days):
    monkeypatch.setattr(thinning, "THIN_TASKS", 10)
    monkeypatch.setattr(upkeep, "CARRY_ROWS", 1_000)
    day.fill(0, 300)
    day.at = 20 * DAY_US
    day.tidy(keep=30)
    watched = Watched(day.db)
    kept = Kept(project_id=1, task_days=task_days, payload_days=payload_days)
    costs = costs_of(watched, lambda: day.writer.thin(kept))
    assert len(costs) > 30
    # Heads, then calls, outcomes and spare facts of ten tasks, and where tasks are counted.
    assert max(cost.rows for cost in costs) <= 10 * 12 + 40
    assert max(cost.statements for cost in costs) <= 24
    assert not any(cost.scanned for cost in costs)
