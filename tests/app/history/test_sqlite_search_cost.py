# SPDX-License-Identifier: AGPL-3.0-only
"""What a page costs, counted in statements and in steps of SQLite's machine, not in time: it may
not grow with the tasks there are.
"""

import asyncio

import msgspec
import pytest
from tests.support.history_events import NOW_US
from tests.support.history_many import FEW, LISTS, MANY, fill

from queuedeck.domain.tasks.filters import parse
from queuedeck.history.sql import walk
from queuedeck.history.sql.listing import list_tasks
from queuedeck.history.sql.rows import Words
from queuedeck.history.sqlite.schema import open_reader
from queuedeck.history.sqlite.store import SqliteHistory

STEPS = 50
"""The counter ticks once for so many steps."""


async def make(path, tasks):
    store = SqliteHistory(path, lambda: NOW_US)
    await store.open()
    await fill(store, tasks)
    await store.close()


class Cost(msgspec.Struct):
    statements: int = 0
    steps: int = 0
    found: int = 0


def cost_of(path, text):
    """Of one page of a fresh reader."""
    db, cost = open_reader(path), Cost()
    try:
        page = _read(db, text, cost)
        cost.found = len(page.tasks)
        return cost, page
    finally:
        db.close()


def _read(db, text, cost):
    words = Words()

    def step():
        cost.steps += 1

    def statement(_sql):
        cost.statements += 1

    db.set_progress_handler(step, STEPS)
    db.set_trace_callback(statement)
    return list_tasks(db, words, NOW_US, 1, parse(text), 20, "")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cost")
    for tasks in (FEW, MANY):
        asyncio.run(make(folder / f"{tasks}.db", tasks))
    return folder / f"{FEW}.db", folder / f"{MANY}.db"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Cost is counted here, not timed."""
    monkeypatch.setattr(walk, "BUDGET_S", 60.0)
    monkeypatch.setattr(walk, "CHUNK_ROWS", 200)


@pytest.mark.parametrize("text", LISTS, ids=[text or "all" for text in LISTS])
def test_a_page_costs_the_same_in_a_small_and_a_large_history(files, text):
    few, _ = cost_of(files[0], text)
    many, _ = cost_of(files[1], text)
    assert many.found == few.found > 0
    assert many.statements == few.statements <= 45
    assert many.steps <= 1.5 * few.steps + 20


def test_a_search_for_nothing_stops_at_its_budget_of_rows(files, monkeypatch):
    monkeypatch.setattr(walk, "CHUNK_ROWS", 200)
    monkeypatch.setattr(walk, "BUDGET_ROWS", 1_000)
    costs = []
    for path in files:
        cost, page = cost_of(path, "-task:app.*")
        assert not page.complete
        assert page.back_to_us
        costs.append(cost)
    assert costs[0].statements == costs[1].statements
    assert costs[1].steps <= 1.2 * costs[0].steps + 20
