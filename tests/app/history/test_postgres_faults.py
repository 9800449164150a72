# SPDX-License-Identifier: AGPL-3.0-only
"""What the store promises on Postgres when things break, and what a group may cost."""

import pytest
from tests.support import postgres
from tests.support.history_events import LANE, NOW_US, batch, failed, published, source_seen
from tests.support.history_events import started as started_event
from tests.support.history_stores import SCHEMA as HISTORY
from tests.support.history_stores import Listening, PostgresKind

from queuedeck.errors import Unavailable
from queuedeck.history.filters import TaskFilter
from queuedeck.history.postgres import connection, dialect, text
from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.sql.days import Days

CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'queuedeck history' AND datname = current_database()
"""


def before_lanes(act):
    """Statements that make something happen near the end of each group's transaction."""
    return (
        f"CREATE FUNCTION {HISTORY}.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {act}; END $$",
        f"CREATE TRIGGER refused BEFORE INSERT ON {HISTORY}.lane"
        f" EXECUTE FUNCTION {HISTORY}.refuse()",
    )


FULL = before_lanes("RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'")
"""As on a full disk: nobody fills the disk of all tests."""
CUTS = before_lanes("PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL")


@pytest.fixture
def kind():
    kind = PostgresKind()
    yield kind
    kind.close()


def life(number):
    return [published(f"task-{number}", 1), started_event(f"task-{number}", 3)]


async def test_a_server_that_crashed_is_unavailable_and_then_found_again():
    cluster = postgres.Cluster().start()
    try:
        history = PostgresHistory(cluster.database(), lambda: NOW_US)
        await history.open()
        await history.record([batch([source_seen(), *life(1)])])
        cluster.stop("immediate")
        for _ in range(2):
            with pytest.raises(Unavailable, match="Postgres"):
                await history.record([batch(life(2), first=4)])
            with pytest.raises(Unavailable, match="Postgres"):
                await history.totals(1)
        cluster.start()
        recorded = await history.record([batch(life(2), first=4)])
        assert recorded.committed == {LANE: 5}
        assert (await history.totals(1)).states == {"celery": {"running": 2}}
        await history.close()
    finally:
        cluster.remove()


async def test_a_connection_that_was_cut_is_made_again(history, kind):
    await history.record([batch([source_seen(), *life(0)])])
    for number in range(1, 4):
        assert len((await history.list_tasks(1, TaskFilter(), 10)).tasks) == number
        postgres.execute(kind.url, CUT)
        recorded = await history.record([batch(life(number), first=2 + 2 * number)])
        assert recorded.committed == {LANE: 3 + 2 * number}
    assert (await history.totals(1)).events == 9


async def test_a_connection_that_is_cut_within_a_group_leaves_nothing_of_it(history, kind):
    await history.record([batch([source_seen(), *life(0)])])
    postgres.execute(kind.url, *CUTS)
    with pytest.raises(Unavailable):
        await history.record([batch(life(1), first=4)])
    postgres.execute(kind.url, f"DROP FUNCTION {HISTORY}.refuse() CASCADE")
    assert await history.committed(1, [LANE]) == {LANE: 3}
    await history.record([batch(life(1), first=4)])
    await history.record([batch(life(1), first=4)])
    assert (await history.totals(1)).events == 5
    assert len((await history.list_tasks(1, TaskFilter(), 10)).tasks) == 2


async def test_a_full_disk_acknowledges_nothing_and_ends_by_itself(history, kind):
    await history.record([batch([source_seen()])])
    postgres.execute(kind.url, *FULL)
    group = [batch([event for n in range(200) for event in life(n)], first=2)]
    with pytest.raises(Unavailable, match="no space left"):
        await history.record(group)
    assert await history.committed(1, [LANE]) == {LANE: 1}
    assert (await history.list_tasks(1, TaskFilter(), 10)).tasks == []
    postgres.execute(kind.url, f"DROP FUNCTION {HISTORY}.refuse() CASCADE")
    assert (await history.record(group)).committed == {LANE: 401}
    assert (await history.totals(1)).states == {"celery": {"running": 200}}


async def test_a_second_server_is_refused_until_the_first_has_gone(history, kind, monkeypatch):
    monkeypatch.setattr(connection, "LOCK_MS", 100)
    second = kind.history()
    with pytest.raises(Unavailable, match="Another Queuedeck"):
        await second.open()
    await second.close()
    await history.close()
    monkeypatch.setattr(connection, "LOCK_MS", 5_000)
    third = kind.history()
    await third.open()
    await third.close()


async def test_a_schema_of_a_newer_layout_is_left_alone(history, kind):
    await history.close()
    postgres.execute(kind.url, f"UPDATE {HISTORY}.layout SET number = number + 1")
    newer = kind.history()
    with pytest.raises(Unavailable, match="newer"):
        await newer.open()
    await newer.close()
    postgres.execute(kind.url, f"UPDATE {HISTORY}.layout SET number = number - 1")


async def test_a_schema_of_something_else_is_left_alone(kind):
    postgres.execute(kind.url, "DROP SCHEMA IF EXISTS theirs", "CREATE SCHEMA theirs")
    store = PostgresHistory(kind.url, lambda: NOW_US, "theirs")
    with pytest.raises(Unavailable, match="not Queuedeck's"):
        await store.open()
    await store.close()


@pytest.mark.parametrize("strange", ["a\x00b", "\x00", "\x10", "\x100000", "\ud800", "\U0010ffff"])
def test_texts_that_postgres_refuses_come_back_as_they_were(strange):
    stored = text.encode(strange)
    assert b"\x00" not in stored
    stored.decode()
    assert text.decode(stored) == strange


async def test_nul_characters_are_kept_and_found(history):
    odd = "job\x00:1"
    events = [published(odd, name="app\x00task"), failed(odd, exception="E\x00", message="m\x00")]
    await history.record([batch([source_seen(), *events])])
    row = (await history.find_task(1, "celery", odd)).row
    assert (row.task_id, row.name, row.exception) == (odd, "app\x00task", "E\x00")
    assert row.message == "m\x00"
    found = await history.list_tasks(1, TaskFilter(names=("app\x00*",)), 10)
    assert [one.task_id for one in found.tasks] == [odd]
    assert [one.task_id for one in (await history.list_tasks(1, TaskFilter(ids=(odd,)), 9)).tasks]


def test_calls_of_a_group_do_not_grow_with_its_events(kind):
    with kind.fresh() as writer:
        listening = Listening(writer.db)
        writer = type(writer)(listening, lambda: NOW_US)
        at, counts = 2, []
        writer.record([batch([source_seen()])])
        for size in (20, 20, 20, 100, 400):
            events = [event for n in range(size) for event in life(f"{size} {at} {n}")]
            listening.ran.clear()
            writer.record([batch(events, first=at)])
            counts.append(len(listening.ran))
            at += len(events)
    # Words and days are known from the third on.
    assert counts[2] == counts[3] == counts[4] < 25


ORDERED = [
    "SELECT n FROM task_9 AS t WHERE t.project = 1 AND t.n < 9 ORDER BY t.n DESC LIMIT 1",
    "SELECT n FROM task_9 AS t WHERE t.project = 1 AND t.state = 5 AND t.state <> 4 AND t.n < 9"
    " ORDER BY t.n DESC LIMIT 1",
    "SELECT n FROM task_9 AS t WHERE t.name = 1 AND t.n < 9 ORDER BY t.n DESC LIMIT 1",
    "SELECT n FROM task_9 AS t WHERE t.failure = 1 AND t.failure > 0 AND t.n < 9"
    " ORDER BY t.n DESC LIMIT 1",
]


@pytest.mark.parametrize("query", ORDERED)
def test_indexes_give_the_order_of_the_list(kind, query):
    with kind.fresh() as writer:
        Days(writer.db).make(9)
        plan = " ".join(row[0] for row in writer.db.execute(f"EXPLAIN {query}"))
    assert "Index" in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("rare", [1, 10_000])
async def test_words_are_found_whether_they_are_common_or_rare(history, monkeypatch, rare):
    """Whatever the sample says, both ways find the same."""
    monkeypatch.setattr(dialect, "RARE", rare)
    events = [source_seen()]
    for number in range(30):
        args = b'{"args":["%s","n%d"],"kwargs":{}}' % (b"needle" if number % 3 else b"hay", number)
        events += [published(f"t{number}", number, args=args), failed(f"t{number}", number + 1)]
    await history.record([batch(events)])
    while await history.index_words():
        pass
    for text_, expected in (("needle", 20), ("need", 20), ("n7", 1), ("hay", 10), ("none", 0)):
        page = await history.list_tasks(1, TaskFilter(texts=(text_,)), 50)
        assert len(page.tasks) == expected, text_
