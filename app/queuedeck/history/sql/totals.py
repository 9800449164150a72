# SPDX-License-Identifier: AGPL-3.0-only
"""The counters of a project. The writer keeps them, in the events' transaction."""

import sqlite3

from queuedeck.history.records import DayUsage, Totals
from queuedeck.history.sql.names import STATES


def read_totals(db: sqlite3.Connection, project_id: int) -> Totals:
    db.execute("BEGIN")
    try:
        counted = db.execute(
            "SELECT events, lost, quarantined, newest_us FROM event_count WHERE project = ?",
            (project_id,),
        ).fetchone()
        states = _states(db, project_id)
    finally:
        db.execute("COMMIT")
    events, lost, quarantined, newest_us = counted or (0, 0, 0, None)
    return Totals(
        events=events, lost=lost, quarantined=quarantined, states=states, newest_us=newest_us
    )


def _states(db: sqlite3.Connection, project_id: int) -> dict[str, dict[str, int]]:
    rows = db.execute(
        "SELECT s.engine, c.state, sum(c.n) FROM state_count AS c JOIN source AS s"
        " ON s.id = c.source WHERE c.project = ? GROUP BY s.engine, c.state"
        " HAVING sum(c.n) > 0 ORDER BY s.engine, c.state",
        (project_id,),
    )
    found: dict[str, dict[str, int]] = {}
    for engine, state, count in rows:
        found.setdefault(engine, {})[STATES[state].value] = count
    return found


def read_usage(db: sqlite3.Connection, project_id: int) -> list[DayUsage]:
    rows = db.execute(
        "SELECT u.day, u.tasks, u.bytes FROM usage AS u JOIN day AS d ON d.day = u.day"
        " WHERE u.project = ? AND NOT d.dropping ORDER BY u.day",
        (project_id,),
    )
    return [DayUsage(day=day, tasks=tasks, bytes=size) for day, tasks, size in rows]
