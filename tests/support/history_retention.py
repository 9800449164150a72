# SPDX-License-Identifier: AGPL-3.0-only
"""A history whose old days go."""

import re

from tests.support.history_events import (
    NOW_US,
    batch,
    failed,
    published,
    retrying,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.clock import DAY_US

TODAY = NOW_US // DAY_US
KEEP = 5


def life(name, at):
    """Ends in every way, with payloads apart and a contradiction."""
    task_id = uuid_of(name)
    return [
        published(task_id, at, args=b'{"args":[1]}', sealed=b"0a1b2c3dx"),
        started(task_id, at + 1),
        started(task_id, at + 2, worker="w2@host"),
        retrying(task_id, at + 3, traceback="T"),
        (failed if len(name) % 2 else succeeded)(task_id, at + 4, attempt=2),
    ]


class Retained:
    """A writer that is moved from day to day."""

    def __init__(self, kind):
        self.at = 0
        self.kind = kind
        self._next = 1
        self.open()
        self.record([source_seen()])

    def open(self):
        self.writer = self.kind.writer(lambda: NOW_US + self.at)
        self.db = self.writer.db

    def record(self, events):
        self.writer.record([batch(events, self._next)])
        self._next += len(events)

    def fill(self, day, tasks):
        self.at = day * DAY_US
        self.record([e for n in range(tasks) for e in life(f"{day}/{n}", self.at)])
        self.record([published(uuid_of(f"open {day}"), self.at)])

    def tidy(self, keep=KEEP, max_bytes=0):
        steps = 0
        while self.step(keep, max_bytes):
            steps += 1
            assert steps < 2_000
        return steps

    def step(self, keep=KEEP, max_bytes=0):
        return self.writer.tidy(keep, max_bytes) or self.writer.give_back()

    def days(self):
        return [row[0] - TODAY for row in self.db.execute("SELECT day FROM day ORDER BY day")]

    def tables(self):
        return self.kind.names(self.db)

    def close(self):
        self.writer.close()


def counted(db):
    return {
        row[:2]: row[2]
        for row in db.execute("SELECT source, state, sum(n) FROM state_count GROUP BY 1, 2")
        if row[2]
    }


def found(day):
    states = {}
    for table in (name for name in day.tables() if re.fullmatch("task_[0-9]+", name)):
        for source, state in day.db.execute(f"SELECT source, state FROM {table}"):
            states[source, state] = states.get((source, state), 0) + 1
    return states
