# SPDX-License-Identifier: AGPL-3.0-only
"""The counters of a project. The writer keeps them, in the events' transaction."""

from queuedeck.history.retention import DayUsage
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.names import STATES
from queuedeck.history.totals import Totals


def read_totals(db: Database, project_id: int) -> Totals:
    with reading(db):
        counted = db.execute(
            "SELECT events, lost, quarantined, newest_us FROM event_count WHERE project = ?",
            (project_id,),
        ).fetchone()
        states = _states(db, project_id)
    events, lost, quarantined, newest_us = counted or (0, 0, 0, None)
    return Totals(
        events=events, lost=lost, quarantined=quarantined, states=states, newest_us=newest_us
    )


def _states(db: Database, project_id: int) -> dict[str, dict[str, int]]:
    rows = db.execute(
        "SELECT s.engine, c.state, CAST(sum(c.n) AS BIGINT) FROM state_count AS c JOIN source AS s"
        " ON s.id = c.source WHERE c.project = ? GROUP BY s.engine, c.state"
        " HAVING sum(c.n) > 0 ORDER BY s.engine, c.state",
        (project_id,),
    )
    found: dict[str, dict[str, int]] = {}
    for engine, state, count in rows:
        found.setdefault(engine, {})[STATES[state].value] = count
    return found


def read_usage(db: Database, project_id: int) -> list[DayUsage]:
    rows = db.execute(
        "SELECT u.day, u.tasks, u.bytes FROM usage AS u JOIN day AS d ON d.day = u.day"
        " WHERE u.project = ? AND d.dropping = 0 ORDER BY u.day",
        (project_id,),
    )
    return [DayUsage(day=day, tasks=tasks, bytes=size) for day, tasks, size in rows]
