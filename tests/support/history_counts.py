# SPDX-License-Identifier: AGPL-3.0-only
"""Tasks in memory, their rollups in a database, and what these must be."""

from collections import defaultdict

from tests.support.history_events import NOW_US, Dictionary, published, started, succeeded, uuid_of
from tests.support.history_stores import Listening

from queuedeck.history.derive import derive
from queuedeck.history.facts import fact_of
from queuedeck.history.histogram import histogram_of, unpack
from queuedeck.history.rollups import contributions
from queuedeck.history.sql.books import EVERYTHING
from queuedeck.history.sql.grains import NONE_YET, pieces
from queuedeck.history.sql.rollups import Rollups
from queuedeck.history.states import merge

PROJECT, SOURCE = 1, 7


class Told:
    """Tasks in memory."""

    def __init__(self):
        self.intern = Dictionary()
        self.tasks = defaultdict(dict)

    def tell(self, events):
        """The facts that its tasks had before these events."""
        before = {event.task_id: dict(self.tasks[event.task_id]) for event in events}
        for event in events:
            merge(self.tasks[event.task_id], fact_of(event, self.intern))
        return before


class Book(Told):
    def __init__(self, db):
        super().__init__()
        self.db = Listening(db)
        self.db.execute("INSERT INTO event_count VALUES (1, 0, 0, 0, NULL) ON CONFLICT DO NOTHING")
        self.rollups = Rollups(self.db)

    def record(self, events, now_us=NOW_US):
        for task_id, old in self.tell(events).items():
            facts = self.tasks[task_id]
            self.rollups.count(PROJECT, SOURCE, old, facts, derive(facts))
        self.rollups.write(now_us)

    def sum_up(self, now_us):
        """All that is over by then. How many steps that took."""
        steps = 0
        while self.rollups.sum_up(now_us):
            steps += 1
        return steps

    def rows(self, table="roll_minute", where="n <> 0"):
        found = self.db.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()
        return {row[1:7]: (row[7], row[8], unpack(row[9]), unpack(row[10])) for row in found}

    def until(self):
        """Minutes of a summed grain -> up to which minute it holds what was counted."""
        return dict(self.db.execute("SELECT minutes, until FROM summed_until").fetchall())

    def halfway(self):
        """Minutes of the summed grains to which some rows of a time are added, and some not yet."""
        rows = self.db.execute(
            "SELECT minutes FROM summed_until WHERE subject <> ?", (NONE_YET[0],)
        )
        return {row[0] for row in rows.fetchall()}

    def counted(self, low, high):
        """How much is counted from minute `low`, before `high`, as readers add it up."""
        return sum(
            self.db.execute(
                f"SELECT coalesce(sum(n), 0) FROM {piece.grain.table}"
                " WHERE subject = ? AND at >= ? AND at < ?",
                (EVERYTHING, piece.low, piece.high),
            ).fetchone()[0]
            for piece in pieces(self.db, PROJECT, low, high)
        )


def expected(book, minutes, before=1 << 60):
    """Count every contribution of before that minute, of every task, under its three subjects."""
    counted = defaultdict(list)
    for facts in book.tasks.values():
        for one in contributions(facts).values():
            if one.minute >= before:
                continue
            at = one.minute // minutes
            counted[one.task, at, one.outcome, SOURCE, one.queue, one.release].append(one)
            counted[EVERYTHING, at, one.outcome, 0, 0, 0].append(one)
            if one.worker:
                counted[one.worker, at, one.outcome, 0, 0, 0].append(one)
    return {key: cell_of(ones) for key, ones in counted.items()}


def cell_of(ones):
    waits = [one.wait_us for one in ones if one.wait_us >= 0]
    runs = [one.run_us for one in ones if one.run_us >= 0]
    return len(ones), sum(runs), histogram_of(waits), histogram_of(runs)


def a_life(name, task_id=None, at=0):
    task_id = task_id or uuid_of(f"{name} {at}")
    return [
        published(task_id, at, name=name),
        started(task_id, at + 10, name=name, worker=f"worker of {name}"),
        succeeded(task_id, at + 30, run_us=20),
    ]
