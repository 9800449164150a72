# SPDX-License-Identifier: AGPL-3.0-only
"""What came into each queue and what left it, from the rollups. Readers only."""

from typing import NamedTuple

from queuedeck.history.facts import Kind
from queuedeck.history.histogram import Sum
from queuedeck.history.queues import QueueCounts, QueueSource
from queuedeck.history.rollups import ARRIVED
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.grains import GRAINS, WRITTEN, pieces
from queuedeck.history.trends import Spread

_MINUTE, _HOUR = WRITTEN
_HOURS = [grain for grain in GRAINS if grain.minutes >= _HOUR.minutes]
_FOR_EVER = _HOUR.minutes << 40
MAX_NAMES = 2_000


class _Queue(NamedTuple):
    source: int
    queue: int


class _Adding:
    def __init__(self) -> None:
        self.n: dict[int, int] = {}
        self.wait = Sum()


def read_queue_counts(
    db: Database, project_id: int, since_us: int, until_us: int
) -> list[QueueCounts]:
    """Of whole minutes; a few minutes, since every row of them is read."""
    of, at = db.dialect.OF_PROJECT, db.dialect.ROLLED_AT
    found: dict[_Queue, _Adding] = {}
    rows = db.execute(
        f"SELECT r.source, r.queue, r.outcome, r.n, r.wait FROM {_MINUTE.table} AS r"  # noqa: S608
        f" INDEXED BY {_MINUTE.table}_at WHERE {of} = ? AND {at} >= ? AND {at} < ?"
        " AND r.subject >= 0 AND r.source > 0",
        (project_id, since_us // _MINUTE.us, -(-until_us // _MINUTE.us)),
    )
    for source, queue, outcome, n, wait in rows:
        adding = found.setdefault(_Queue(source, queue), _Adding())
        adding.n[outcome] = adding.n.get(outcome, 0) + n
        if wait:
            adding.wait.add(wait)
    names = _names(db, {queue.queue for queue in found})
    sources = _fingerprints(db, project_id)
    return [
        _counts(sources[one.source], names.get(one.queue, ""), adding)
        for one, adding in found.items()
        if one.source in sources
    ]


def read_queue_names(
    db: Database, project_id: int, since_us: int, limit: int = MAX_NAMES
) -> list[tuple[str, str]]:
    """(source, queue) of all that were used since then, by whole hours."""
    of, at = db.dialect.OF_PROJECT, db.dialect.ROLLED_AT
    used: set[_Queue] = set()
    since = since_us // _HOUR.us * _HOUR.minutes
    with reading(db):
        for piece in pieces(db, project_id, since, _FOR_EVER, _HOURS):
            rows = db.execute(
                f"SELECT DISTINCT r.source, r.queue FROM {piece.grain.table} AS r"  # noqa: S608
                f" INDEXED BY {piece.grain.table}_at WHERE {of} = ? AND {at} >= ? AND {at} < ?"
                " AND r.subject >= 0 AND r.source > 0 LIMIT ?",
                (project_id, piece.low, piece.high, limit),
            )
            used.update(_Queue(*row) for row in rows)
    names = _names(db, {one.queue for one in used})
    sources = _fingerprints(db, project_id)
    return sorted(
        (sources[source], names[queue])
        for source, queue in used
        if source in sources and names.get(queue)
    )[:limit]


def read_sources(db: Database, project_id: int) -> list[QueueSource]:
    """All sources that the project has ever had."""
    rows = db.execute(
        "SELECT fingerprint, engine, name FROM source WHERE project = ? ORDER BY id", (project_id,)
    )
    return [QueueSource(source=key, engine=engine, name=name) for key, engine, name in rows]


def _counts(source: str, queue: str, adding: _Adding) -> QueueCounts:
    measured, (p50, p95, p99) = adding.wait.quantiles((0.5, 0.95, 0.99))
    arrived = adding.n.get(ARRIVED, 0)
    return QueueCounts(
        source=source,
        queue=queue,
        arrived=arrived,
        retried=adding.n.get(Kind.RETRYING, 0),
        ended=sum(adding.n.values()) - arrived,
        wait=Spread(n=measured, p50=p50, p95=p95, p99=p99),
    )


def _fingerprints(db: Database, project_id: int) -> dict[int, str]:
    rows = db.execute("SELECT id, fingerprint FROM source WHERE project = ?", (project_id,))
    return dict(rows.fetchall())


def _names(db: Database, queues: set[int]) -> dict[int, str]:
    rows = db.execute(
        f"SELECT w.id, w.value FROM {db.dialect.NUMBERS} CROSS JOIN word AS w ON w.id = j.value",  # noqa: S608
        (db.dialect.listed(queues),),
    )
    return dict(rows.fetchall())
