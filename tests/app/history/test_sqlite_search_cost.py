# SPDX-License-Identifier: AGPL-3.0-only
"""What a page costs, counted in statements and in steps of SQLite's machine, not in time: it may
not grow with the tasks there are.
"""

import asyncio

import msgspec
import pytest
from tests.support.history_events import (
    NOW_US,
    batch,
    failed,
    published,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.domain.tasks.filters import parse
from queuedeck.history.fingerprint import fingerprint
from queuedeck.history.sql import walk
from queuedeck.history.sql.listing import list_tasks
from queuedeck.history.sql.rows import Words
from queuedeck.history.sqlite.schema import open_reader
from queuedeck.history.sqlite.store import SqliteHistory

S = 1_000_000
FEW, MANY = 1_500, 9_000
GROUP = f"{fingerprint('ValueError', 'no', '').number:016x}"
"""Of all that fail here."""
STEPS = 50
"""The counter ticks once for so many steps."""


def events_of(number):
    """Every task is 1 s older than the one before; some words are in every tenth, one in the
    newest only.
    """
    at, task_id = -(number + 60) * S, uuid_of(str(number))
    words = ["every"] if number % 10 == 0 else []
    words += ["rare"] if number == 5 else []
    args = msgspec.json.encode({"args": [f"SO-{number}", *words], "kwargs": {}})
    yield published(task_id, at, name=f"app.task_{number % 7}", args=args)
    yield started(task_id, at + 1)
    end = failed if number % 20 == 0 else succeeded
    yield end(task_id, at + 2)


async def make(path, tasks):
    store = SqliteHistory(path, lambda: NOW_US)
    await store.open()
    events = [event for number in range(tasks - 1, -1, -1) for event in events_of(number)]
    await store.record([batch([source_seen(), *events])])
    for _ in range(tasks):
        if not await store.index_words():
            break
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


BOUNDED = [
    "",
    "state:failed",
    "task:app.task_3",
    "-task:app.task_3",
    "rare",
    "every",
    "SO-5",
    "args:SO-1234",
    "every state:failed",
    "at:20m..18m",
    f"id:{uuid_of('7')}",
    "task:app.task_1 -state:failed wait:<1s",
    f"group:{GROUP}",
    f"state:failed group:{GROUP}",
    f"-group:{GROUP}",
]


@pytest.mark.parametrize("text", BOUNDED, ids=[text or "all" for text in BOUNDED])
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
