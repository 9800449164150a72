# SPDX-License-Identifier: AGPL-3.0-only
"""How deep queues were, minute by minute, for a month: a row for each queue and hour, so that a
queue takes 200 bytes an hour. Runs on the writer's thread only.
"""

from collections.abc import Sequence

from queuedeck.clock import MINUTE_US
from queuedeck.history.queues import QueueHour
from queuedeck.history.sql.database import Database

KEPT_DAYS = 30
HOUR_US = 60 * MINUTE_US

# Made when it is first needed: files and schemas from before have none. The types are understood
# by all databases.
_TABLE = """
CREATE TABLE IF NOT EXISTS queue_hour (
  project BIGINT NOT NULL, source TEXT NOT NULL, queue TEXT NOT NULL, hour BIGINT NOT NULL,
  waiting TEXT NOT NULL, PRIMARY KEY (project, source, queue, hour))
"""


def save_hours(db: Database, hours: Sequence[QueueHour], now_us: int) -> None:
    """Replace these hours, and delete what is older than it is kept. All of it or nothing."""
    db.execute(db.dialect.BEGIN)
    try:
        db.execute(_TABLE)
        db.execute("DELETE FROM queue_hour WHERE hour < ?", (now_us // HOUR_US - KEPT_DAYS * 24,))
        db.executemany(
            "INSERT INTO queue_hour (project, source, queue, hour, waiting) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (project, source, queue, hour) DO UPDATE SET waiting = excluded.waiting",
            [(one.project, one.source, one.queue, one.hour, _packed(one)) for one in hours],
        )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def load_hours(db: Database, since_us: int) -> list[QueueHour]:
    """Of all projects, oldest first."""
    db.execute(_TABLE)
    rows = db.execute(
        "SELECT project, source, queue, hour, waiting FROM queue_hour WHERE hour >= ?"
        " ORDER BY hour",
        (since_us // HOUR_US,),
    )
    return [
        QueueHour(project, source, queue, hour, _unpacked(waiting))
        for project, source, queue, hour, waiting in rows
    ]


def _packed(hour: QueueHour) -> str:
    return ",".join("" if one is None else str(one) for one in hour.waiting)


def _unpacked(text: str) -> list[int | None]:
    return [int(one) if one else None for one in text.split(",")]
