# SPDX-License-Identifier: AGPL-3.0-only
"""What the filter box offers: keys of the grammar, values that a project has, within bounds."""

import msgspec
import pytest
from tests.support.history_events import NOW_US, batch, failed, published, source_seen, started

from queuedeck.domain.tasks import filters
from queuedeck.domain.tasks.filters import KEYS, parse
from queuedeck.domain.tasks.suggest import mistake, suggest, unfinished
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql import values
from queuedeck.history.sql.rows import Words
from queuedeck.history.sqlite.schema import open_reader
from queuedeck.history.sqlite.store import SqliteHistory

UNFINISHED = [
    ("", "", "", ""),
    ("sta", "", "", "sta"),
    ("-sta", "-", "", "sta"),
    ("state:fa", "state:", "state", "fa"),
    ("-state:fa", "-state:", "state", "fa"),
    ("queue:a state:failed,lo", "queue:a state:failed,", "state", "lo"),
    ('task:"my t', "task:", "task", "my t"),
    ('"a: b" q', '"a: b" ', "", "q"),
    (r'"a \" b" at:', r'"a \" b" at:', "at", ""),
    ("at:14:0", "at:", "at", "14:0"),
]


@pytest.mark.parametrize(("text", "before", "key", "piece"), UNFINISHED)
def test_last_term_is_split_off(text, before, key, piece):
    found = unfinished(text)
    assert (found.before, found.key, found.piece) == (before, key, piece)


@pytest.mark.parametrize(
    ("text", "kept", "offset"),
    [
        ("state:fa", "", None),
        ("stat:fa", "", 0),
        ("queue:a stat:fa", "", 8),
        ("wait:x state:fa", "", 5),
        ("at:2h stat", "at:1h", 0),
        ('"never closed', "", None),
    ],
)
def test_mistake_is_placed_and_half_a_term_is_none(text, kept, offset):
    found = mistake(text, kept)
    assert (found.offset if found else None) == offset


async def fill(store):
    events = [source_seen()]
    for number, (name, queue) in enumerate(
        [("app.pay", "money"), ("app.pay", "money"), ("app.Repay", "money"), ("app.mail", "post")]
    ):
        events.append(published(f"t-{number}", -number, name=name, queue=queue))
    events += [
        started("t-0", 1, name="app.pay", worker="w-1"),
        failed("t-0", 2, exception="app.Declined"),
    ]
    await store.record([batch(events)])


async def offered(history, text, kept=""):
    found = await suggest(history, 1, text, parse(kept))
    return {one.text: one.count for one in found}


async def test_every_key_of_the_grammar_is_offered(history):
    found = await suggest(history, 1, "", TaskFilter())
    assert [one.key for one in found] == list(KEYS)


async def test_a_key_that_the_grammar_learns_is_offered(history, monkeypatch):
    monkeypatch.setattr("queuedeck.domain.tasks.suggest.KEYS", (*KEYS, "stamp"))
    assert "stamp:" in await offered(history, "sta")


async def test_values_are_those_of_the_project_the_commonest_first(history):
    await fill(history)
    found = await offered(history, "task:")
    assert found == {"task:app.pay": 2, "task:app.Repay": 1, "task:app.mail": 1}
    assert next(iter(found)) == "task:app.pay"
    assert await offered(history, "task:PAY") == {"task:app.pay": 2, "task:app.Repay": 1}
    assert await offered(history, "-queue:po") == {"-queue:post": 1}
    assert await offered(history, "error:decl") == {"error:app.Declined": 1}
    assert await offered(history, "state:f") == {"state:failed": 1}


async def test_counts_are_those_under_the_filter_that_holds(history):
    await fill(history)
    found = await offered(history, "task:", "queue:post")
    assert found == {"task:app.mail": 1, "task:app.pay": 0, "task:app.Repay": 0}


async def test_word_without_a_key_finds_keys_states_and_names(history):
    await fill(history)
    assert await offered(history, "sta") == {"state:": 0}
    assert await offered(history, "fai") == {"state:failed": 0}
    assert await offered(history, "pay") == {"task:app.pay": 2, "task:app.Repay": 1}


async def test_other_projects_have_no_part_in_it(history):
    await fill(history)
    assert await suggest(history, 2, "task:a", TaskFilter()) == []


@pytest.mark.parametrize("text", ["wait:", "runtime:", "retries:", "at:"])
async def test_what_is_offered_for_a_range_is_valid(history, text):
    found = await offered(history, text)
    assert found
    for one in found:
        assert parse(one)


async def test_value_with_a_space_is_quoted(history):
    await history.record([batch([source_seen(), published("t-1", name="a b")])])
    (found,) = await offered(history, "task:a")
    assert parse(found).names == ("a b",)


def test_every_hint_is_of_a_key():
    assert set(filters.HINTS) <= set(KEYS)


class Cost(msgspec.Struct):
    steps: int = 0
    statements: int = 0


def cost_of(path, key, piece):
    db, cost = open_reader(path), Cost()

    def step():
        cost.steps += 1

    def statement(_sql):
        cost.statements += 1

    db.set_progress_handler(step, 50)
    db.set_trace_callback(statement)
    try:
        found = values.read_values(db, Words(), NOW_US, 1, key, piece, TaskFilter(), 12)
        return cost, found
    finally:
        db.close()


async def worst_cost(path, count, key):
    """Of pieces that are in every value, in some and in none."""
    store = SqliteHistory(path, lambda: NOW_US)
    await store.open()
    events = [source_seen()]
    for number in range(count):
        task_id, name = f"t-{number}", f"app.task_{number:04}"
        events.append(published(task_id, -number, name=name))
        more = {"worker": f"w-{number:04}", "release": f"r-{number:04}"}
        events.append(started(task_id, 1, name=name, **more))
    await store.record([batch(events)])
    await store.close()
    costs = [cost_of(path, key, piece)[0] for piece in ("", "4", "app", "zzz")]
    return Cost(max(one.steps for one in costs), max(one.statements for one in costs))


@pytest.mark.parametrize("key", ["task", "worker", "release"])
async def test_suggestions_cost_the_same_in_a_small_and_a_large_history(tmp_path, monkeypatch, key):
    monkeypatch.setattr(values, "MOST_MATCHES", 50)
    monkeypatch.setattr(values, "MOST_WORDS", 100)
    few, many = [await worst_cost(tmp_path / f"{n}.db", n, key) for n in (500, 3_000)]
    assert many.statements == few.statements <= 10
    assert many.steps <= 1.3 * few.steps + 20
