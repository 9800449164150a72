# SPDX-License-Identifier: AGPL-3.0-only
"""What the store promises when things break: full disk, SIGKILL; and what a group may cost."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from tests.support.history_events import (
    LANE,
    NOW_US,
    batch,
    published,
    received,
    source_seen,
    started,
    succeeded,
    uuid_of,
)
from tests.support.history_stores import SqliteKind

from queuedeck.clock import DAY_US
from queuedeck.errors import Unavailable
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.days import Days
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sql.writer import Writer
from queuedeck.history.sqlite.schema import open_writer
from queuedeck.history.sqlite.store import SqliteHistory


@pytest.fixture
def kind(tmp_path):
    return SqliteKind(tmp_path)


def life(number):
    task_id = uuid_of(str(number))
    args = b'{"args":["%s"]}' % (b"x" * 300)
    return [
        published(task_id, 1, args=args),
        received(task_id, 2),
        started(task_id, 3),
        succeeded(task_id, 4),
    ]


async def test_a_full_disk_acknowledges_nothing_and_ends_by_itself(history):
    await history.record([batch([source_seen()])])
    writer = history._writer
    pages = writer.db.execute("PRAGMA page_count").fetchone()[0]
    writer.db.execute(f"PRAGMA max_page_count = {pages + 5}")
    group = [batch([e for n in range(500) for e in life(n)], first=2)]
    with pytest.raises(Unavailable, match="full"):
        await history.record(group)
    assert await history.committed(1, [LANE]) == {LANE: 1}
    assert (await history.list_tasks(1, TaskFilter(), 10)).tasks == []
    writer.db.execute("PRAGMA max_page_count = 100000")
    assert (await history.record(group)).committed == {LANE: 2001}
    assert (await history.totals(1)).states == {"celery": {"succeeded": 500}}


async def test_a_locked_file_is_unavailable_and_readable(history, tmp_path):
    await history.record([batch([source_seen(), *life(1)])])
    history._writer.db.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await history.record([batch(life(2), first=6)])
        assert (await history.totals(1)).events == 5
        other.execute("ROLLBACK")
    await history.record([batch(life(2), first=6)])
    assert (await history.totals(1)).events == 9


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from queuedeck.history.sql.days import Days
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sqlite.schema import open_writer
from queuedeck.history.sql.writer import Writer
from tests.app.history.test_sqlite_faults import life
from tests.support.history_events import NOW_US, batch, source_seen

writer = Writer(open_writer(Path(sys.argv[1])), lambda: NOW_US)
number = 0
print(writer.record([batch([source_seen()])]).committed.popitem()[1], flush=True)
while True:
    events = [e for n in range(number * 20, number * 20 + 20) for e in life(n)]
    recorded = writer.record([batch(events, first=2 + number * 80)])
    print(recorded.committed.popitem()[1], flush=True)
    number += 1
"""


@pytest.mark.parametrize("delay", [0.2, 0.45, 0.8])
def test_sigkill_loses_no_acknowledged_group(tmp_path, delay):
    path, acks = tmp_path / "history.db", tmp_path / "acks"
    with acks.open("wb") as out:
        child = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, path], stdout=out)
        while not acks.stat().st_size:
            assert child.poll() is None
            time.sleep(0.02)
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    acknowledged = int(acks.read_text().rpartition("\n")[0].split()[-1])
    committed, totals = asyncio.run(reopened(path))
    assert committed >= acknowledged > 1
    assert totals.events == committed
    assert totals.states == {"celery": {"succeeded": (committed - 1) // 4}}
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = db.execute(f"SELECT facts FROM task_{NOW_US // DAY_US}").fetchall()
        assert sum(len(unpack_facts(data)) for (data,) in rows) == committed - 1


async def reopened(path):
    store = SqliteHistory(path, lambda: NOW_US)
    await store.open()
    try:
        return (await store.committed(1, [LANE]))[LANE], await store.totals(1)
    finally:
        await store.close()


def statements(writer, group):
    """How many statements SQLite runs for a group, each row of an executemany counted."""
    ran = []
    writer.db.set_trace_callback(ran.append)
    writer.record(group)
    writer.db.set_trace_callback(None)
    return len(ran)


def test_statements_per_event_are_bounded(tmp_path):
    writer = Writer(open_writer(tmp_path / "history.db"), lambda: NOW_US)
    writer.record([batch([source_seen(), *life(-1)])])
    at, counts = 6, []
    for size in (10, 100, 1000):
        events = [e for n in range(size * 10, size * 11) for e in life(n)]
        counts.append(statements(writer, [batch(events, first=at)]) / len(events))
        at += len(events)
    one_by_one = []
    for event in life("slow"):
        one_by_one.append(statements(writer, [batch([event], first=at)]))
        at += 1
    writer.close()
    assert counts[0] < 2.5
    assert counts[2] < 2.1
    assert max(one_by_one) <= 20  # Nine are rows of the rollups: all, task, worker by three grains.


PLANS = [
    "SELECT t.n FROM json_each('[1]') AS j CROSS JOIN task_9 AS t ON t.key = j.value",
    "SELECT n FROM task_9 AS t WHERE t.project = 1 AND t.n < 9 ORDER BY t.n DESC LIMIT 1",
    "SELECT n FROM task_9 AS t INDEXED BY task_9_state WHERE t.project = 1 AND t.state = 5"
    " AND t.state <> 4 AND t.n < 9 ORDER BY t.n DESC LIMIT 1",
    "SELECT n FROM task_9 AS t INDEXED BY task_9_name WHERE t.name = 1 AND t.n < 9"
    " ORDER BY t.n DESC LIMIT 1",
    "SELECT n FROM task_9 AS t INDEXED BY task_9_failure WHERE t.failure = 1 AND t.failure > 0"
    " AND t.n < 9 ORDER BY t.n DESC LIMIT 1",
]


@pytest.mark.parametrize("query", PLANS)
def test_indexes_give_the_order_of_the_list(tmp_path, query):
    with closing(open_writer(tmp_path / "history.db")) as db:
        Days(db).make(9)
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert "USING COVERING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_trends_use_the_primary_key(tmp_path):
    with closing(open_writer(tmp_path / "history.db")) as db:
        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT n FROM roll_hour AS r WHERE r.project = 1 AND r.subject = 1"
            " AND r.at >= 0 AND r.at < 9"
        ).fetchone()[3]
    assert "PRIMARY KEY (project=? AND subject=? AND at>? AND at<?)" in plan
