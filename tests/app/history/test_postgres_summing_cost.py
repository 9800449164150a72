# SPDX-License-Identifier: AGPL-3.0-only
"""On Postgres a step that sums up short times reads what it sums up, and not the longer times for
each row of it, although its plans were made when there were none."""

from contextlib import closing
from itertools import count

from tests.support.history_counts import a_life
from tests.support.history_events import NOW_US, batch, source_seen
from tests.support.history_stores import PostgresKind
from tests.support.postgres_plans import Watched

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.sql.rollups import SUMMED_ROWS
from queuedeck.history.sql.writer import Writer

QUARTER_US = 15 * MINUTE_US
NAMES = 60
MOST_READ = 30
"""Rows of tables and indexes for each row that is summed up."""


def test_steps_cost_what_they_sum_up_although_nothing_was_there_when_they_were_planned():
    numbers, now = count(1), [NOW_US]
    kind = PostgresKind("summing")
    with closing(kind), closing(Watched(kind.open())) as watched:
        writer = Writer(watched.db, lambda: now[0])

        def record(events):
            writer.record([batch(events, 1, lane=f"{next(numbers):032x}")])

        record([source_seen()])
        for quarter in range(10):
            record(a_life("app.few", at=quarter * QUARTER_US))
            now[0] = NOW_US + (quarter + 1) * QUARTER_US
            while writer.sum_up():
                pass
        for minute in range(30):
            at = 12 * QUARTER_US + minute * MINUTE_US
            record([e for n in range(NAMES) for e in a_life(f"app.{n}", at=at)])
        now[0] = NOW_US + DAY_US
        costs = []
        more = True
        while more:
            cost, more = watched.cost_of(lambda _db: writer.sum_up())
            costs.append(cost)
        assert len(costs) > 30 * NAMES / SUMMED_ROWS
        longest = max(costs, key=lambda cost: cost.rows)
        assert longest.rows <= MOST_READ * SUMMED_ROWS, "\n".join(longest.plans)
