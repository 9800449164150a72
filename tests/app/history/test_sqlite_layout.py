# SPDX-License-Identifier: AGPL-3.0-only
"""Files of another layout: older ones are brought along, newer ones and strange ones left alone."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.support.history_days import DayByDay, T
from tests.support.history_events import LANE, published, started, succeeded, uuid_of
from tests.support.history_stores import SqliteKind

from queuedeck.errors import Unavailable
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sqlite.schema import LAYOUT
from queuedeck.history.sqlite.store import SqliteHistory

LAYOUT_1 = Path(__file__).parents[2] / "support/data/history_layout_1.sql"


async def test_a_file_of_a_newer_layout_is_left_alone(tmp_path):
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {LAYOUT + 1}")
    store = SqliteHistory(path)
    with pytest.raises(Unavailable, match=f"layout {LAYOUT + 1}.*newer"):
        await store.open()
    await store.close()


async def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
    store = SqliteHistory(path)
    with pytest.raises(Unavailable, match="not a Queuedeck history"):
        await store.open()
    await store.close()


@pytest.fixture
async def upgraded(tmp_path):
    """A history that the previous layout wrote, opened with this one."""
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA journal_mode = WAL;" + LAYOUT_1.read_text())
    store = DayByDay(SqliteKind(tmp_path))
    await store.store.open()
    store._next = (await store.store.committed(1, [LANE]))[LANE] + 1
    yield store
    await store.store.close()


async def test_a_history_of_the_previous_layout_is_read_as_it_was(upgraded):
    ok, bad, retried, twice = [
        await upgraded.find(uuid_of(name), 1) for name in ("ok", "bad", "retried", "twice")
    ]
    assert (ok.row.state, ok.result, ok.generations) == ("succeeded", b'{"n":1}', 2)
    assert ok.args == b'{"args":[1,"x"],"kwargs":{"key":null}}'
    assert await upgraded.store.sealed_call(1, ok.row.key) == b"0a1b2c3dsealed"
    assert len(ok.timeline) == 4
    assert (bad.row.exception, bad.row.message) == ("ValueError", "no")
    assert (bad.attempts[0].message, len(bad.attempts[0].traceback)) == ("no\nmore", 2110)
    assert [one.message for one in retried.attempts] == ["long " * 100, "slow"]
    assert retried.row.message == ("long " * 100).strip()[:300].strip()
    assert (twice.attempts[0].times_started, len(twice.result)) == (2, 402)
    assert [line.detail for line in twice.timeline] == ["", "delivered again", ""]
    lost = await upgraded.find("order-7")
    assert (lost.row.state, lost.row.message) == ("lost", "gone")
    assert len(await upgraded.ids(TaskFilter())) == 7
    states = {"succeeded": 2, "failed": 2, "lost": 1, "queued": 1, "scheduled": 1}
    assert (await upgraded.store.totals(1)).states == {"celery": states}


async def test_a_history_of_the_previous_layout_goes_on(upgraded):
    waits = uuid_of("waits")
    assert [task_id for _, task_id in await upgraded.store.cancelled_waiting(1)] == [waits]
    await upgraded.record(started(waits, 200), succeeded(waits, 201), started(uuid_of("ok"), 95))
    assert (await upgraded.find(waits)).row.state == "succeeded"
    assert await upgraded.store.cancelled_waiting(1) == []
    running = await upgraded.find(uuid_of("ok"))
    assert (running.row.state, running.row.generation) == ("running", 2)
    await upgraded.record(published(T, 300))
    assert len(await upgraded.ids(TaskFilter())) == 8


async def test_opening_a_history_of_the_previous_layout_fails_whole_or_not_at_all(tmp_path):
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(LAYOUT_1.read_text())
        db.execute("UPDATE facts SET data = X'ff' WHERE task = (SELECT max(task) FROM facts)")
        db.commit()
    store = SqliteHistory(path)
    with pytest.raises(msgspec.ValidationError):
        await store.open()
    await store.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM task").fetchone() == (7,)
