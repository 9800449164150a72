# SPDX-License-Identifier: AGPL-3.0-only
"""The index of words: what it waits for, what it holds, and that it goes with its day."""

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

from queuedeck.clock import DAY_US
from queuedeck.domain.tasks.filters import parse
from queuedeck.history.sql import fulltext, upkeep
from queuedeck.history.sqlite import upkeep as space

MINUTE_US = 60_000_000
ARGS = b'{"args":["needle"],"kwargs":{}}'
T = uuid_of("t")


class History:
    """A store whose clock is moved, and what is in its index."""

    def __init__(self, kind):
        self.at = 0
        self.kind = kind
        self.store = kind.history(lambda: NOW_US + self.at)
        self._next = 1

    async def record(self, *events):
        events = [source_seen(), *events]
        await self.store.record([batch(events, self._next)])
        self._next += len(events)

    async def index(self):
        for _ in range(100):
            if not await self.store.index_words():
                return
        raise AssertionError("The index of words is never done.")

    async def found(self, text="needle"):
        return [row.task_id for row in (await self.store.list_tasks(1, parse(text), 50)).tasks]

    def rows(self, sql):
        return self.kind.rows(sql)

    def indexed(self):
        def count(db):
            if f"words_{day}" not in self.kind.names(db):
                return 0
            match = db.dialect.match(["needle"])
            documents, condition = db.dialect.words(db, day, match)
            sql = f"SELECT count(*) FROM {documents} AS w WHERE {condition}"
            return db.execute(sql, (match,)).fetchone()[0]

        day = NOW_US // DAY_US
        return self.kind.ask(count)


@pytest.fixture
async def history(kind):
    one = History(kind)
    await one.store.open()
    yield one
    await one.store.close()


async def test_a_task_is_found_before_it_ends_and_indexed_after(history):
    await history.record(published(T, 0, args=ARGS), started(T, 1))
    await history.index()
    assert (history.indexed(), await history.found()) == (0, [T])
    await history.record(succeeded(T, 2))
    assert await history.found() == [T]
    await history.index()
    assert (history.indexed(), await history.found()) == (1, [T])
    assert history.rows("SELECT * FROM word_wait") == []


async def test_a_publication_may_come_after_the_end(history):
    await history.record(started(T, 1), failed(T, 2))
    await history.index()
    assert await history.found() == []
    await history.record(published(T, 0, args=ARGS))
    assert await history.found() == [T]
    await history.index()
    assert (history.indexed(), await history.found()) == (1, [T])


async def test_a_task_that_nobody_published_is_indexed_in_the_end(history):
    await history.record(started(T, 1), failed(T, 2, message="needle"))
    await history.index()
    assert history.indexed() == 0
    history.at = fulltext.PUBLISHED_WITHIN_US + MINUTE_US
    await history.index()
    assert (history.indexed(), await history.found()) == (1, [T])


async def test_indexing_again_adds_nothing(history):
    await history.record(published(T, 0, args=ARGS), succeeded(T, 2))
    await history.index()
    assert not await history.store.index_words()
    assert history.indexed() == 1


async def test_tasks_that_wait_do_not_keep_others_from_the_index(history, monkeypatch):
    monkeypatch.setattr(fulltext, "STEP_TASKS", 3)
    waiting = [started(uuid_of(str(n)), n, args=ARGS) for n in range(10)]
    await history.record(*waiting)
    await history.index()
    await history.record(published(T, 20, args=ARGS), succeeded(T, 21))
    last = uuid_of("9")
    await history.record(published(last, 0, args=ARGS), succeeded(last, 22))
    for _ in range(10):
        await history.store.index_words()
    assert history.indexed() == 2


async def test_the_index_goes_with_its_day(history, monkeypatch):
    monkeypatch.setattr(upkeep, "DROP_ROWS", 3)
    monkeypatch.setattr(fulltext, "DROP_ROWS", 3)
    monkeypatch.setattr(space, "DROP_PAGES", 1)
    tasks = [uuid_of(str(n)) for n in range(8)]
    await history.record(*(published(task, n, args=ARGS) for n, task in enumerate(tasks)))
    await history.record(*(succeeded(task, 50) for task in tasks[:5]))
    await history.index()
    assert history.indexed() == 5
    history.at = 20 * DAY_US
    await history.record(published(T, history.at, args=ARGS), succeeded(T, history.at + 1))
    await history.index()
    for _ in range(500):
        if not await history.store.tidy(5):
            break
    day = NOW_US // DAY_US
    assert [name for name in history.kind.ask(history.kind.names) if str(day) in name] == []
    assert history.rows(f"SELECT day FROM word_index WHERE day = {day}") == []
    assert history.rows(f"SELECT n FROM word_wait WHERE day = {day}") == []
    assert await history.found() == [T]
