# SPDX-License-Identifier: AGPL-3.0-only
"""What a task takes on disk, and what a group costs in statements."""

import os
import uuid
from contextlib import closing

import pytest
from tests.support.history_events import (
    LANE,
    NOW_US,
    batch,
    published,
    source_seen,
    started,
    succeeded,
)

from queuedeck.history.sql.writer import Writer
from queuedeck.history.sqlite import schema
from queuedeck.history.sqlite.dialect import SqliteDatabase
from queuedeck.history.sqlite.schema import open_writer
from queuedeck.history.sqlite.upkeep import used_bytes

BYTES_A_TASK = 700
ARGUMENTS = b'{"args":["ord_7f3a91c2",4211],"kwargs":{"note":"%s"}}' % (b"x" * 149)
SEAL_BYTES = 8 + 12 + 16
"""Key id, nonce and tag: what `queuedeck_agent.seal` adds to what it seals."""
TASKS_AT_ONCE = 500


@pytest.fixture
def writer(tmp_path):
    one = Writer(open_writer(tmp_path / "history.db"), lambda: NOW_US + 60_000_000)
    one.record([batch([source_seen()])])
    yield one
    one.close()


class Lane:
    """Records event after event on one lane."""

    def __init__(self, writer, last=1):
        self._writer = writer
        self.last = last

    def record(self, events):
        recorded = self._writer.record([batch(events, self.last + 1)])
        self.last = recorded.committed[LANE]


def lives(number):
    """Three events of each of so many tasks, in the order of the events."""
    ids = [str(uuid.uuid4()) for _ in range(TASKS_AT_ONCE)]
    base = number * 1_000_000
    names = [f"shop.tasks.task_{n % 40}" for n in range(TASKS_AT_ONCE)]
    return [
        [
            published(
                task,
                base + n * 10,
                name=names[n],
                queue="celery",
                args=ARGUMENTS,
                sealed=os.urandom(len(ARGUMENTS) + SEAL_BYTES),
                root_id=task,
                origin="7@web-1",
                routing_key="celery",
            )
            for n, task in enumerate(ids)
        ],
        [
            started(
                task,
                base + n * 10 + 3_000,
                name=names[n],
                worker=f"celery@worker-{n % 8}",
                queue="celery",
                published_us=NOW_US + base + n * 10,
                root_id=task,
                pid=4242,
            )
            for n, task in enumerate(ids)
        ],
        [
            succeeded(
                task,
                base + n * 10 + 103_000,
                run_us=99_900 + n,
                result=b'{"ok":true}',
                worker=f"celery@worker-{n % 8}",
            )
            for n, task in enumerate(ids)
        ],
    ]


def test_a_finished_task_is_small_with_all_its_indexes(writer):
    """Every event comes in a group of its own, so that rows grow where they are."""
    assert len(ARGUMENTS) == 200
    lane = Lane(writer)
    for events in lives(0):
        lane.record(events)
    before, tasks = used_bytes(writer.db), 0
    for number in range(1, 9):
        for events in lives(number):
            lane.record(events)
        tasks += TASKS_AT_ONCE
    assert (used_bytes(writer.db) - before) / tasks <= BYTES_A_TASK


class Counting(SqliteDatabase):
    """Counts how often the driver is called: an `executemany` is one call."""

    calls = 0

    def execute(self, *args):
        self.calls += 1
        return super().execute(*args)

    def executemany(self, *args):
        self.calls += 1
        return super().executemany(*args)


def test_calls_of_a_group_do_not_grow_with_its_events(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "SqliteDatabase", Counting)
    with closing(open_writer(tmp_path / "history.db")) as db:
        writer = Writer(db, lambda: NOW_US + 60_000_000)
        lane = Lane(writer, 0)
        lane.record([source_seen()])
        for events in [*lives(0), *lives(0)]:  # Words and days are known from here on.
            lane.record(events)
        counts = {}
        for number, size in enumerate((50, 100, TASKS_AT_ONCE), 1):
            for kind, events in enumerate(lives(number)):
                before = db.calls
                lane.record(events[:size])
                counts[kind, size] = db.calls - before
    for kind in range(3):
        assert counts[kind, 50] == counts[kind, 100] == counts[kind, TASKS_AT_ONCE] < 25, counts
