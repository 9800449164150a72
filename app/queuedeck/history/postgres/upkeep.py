# SPDX-License-Identifier: AGPL-3.0-only
"""Space in the database. The writer takes a day out of the counters; its tables then go one by one,
on another connection: however long the files take, no group waits.
"""

import asyncpg

from queuedeck.errors import Unavailable
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import EXTRA_TABLES, TABLES
from queuedeck.history.sql.upkeep import uncount

UNCOUNT_ROWS = 5_000
"""So many tasks are taken out of the counters in one step."""
LOCK_MS = 200
"""So long readers of before the day was taken from them are waited for. New ones wait behind us."""

DAY_TABLES = (*TABLES, *EXTRA_TABLES, "words")
_LEFT = (
    "FROM pg_class AS c WHERE c.relnamespace = to_regnamespace(current_schema()::text)"  # noqa: S608
    f" AND c.relkind = 'r' AND c.relname ~ '^({'|'.join(DAY_TABLES)})_[0-9]+$' AND NOT EXISTS"
    " (SELECT 1 FROM day AS d WHERE d.day = CAST(substring(c.relname FROM '[0-9]+$') AS BIGINT))"
)
"""Tables of days that there are no more."""


def drop_piece(db: Database, day: int) -> bool:
    """Take some of its tasks out of the counters. `dropping` is 1 and the `n` up to where that was
    done.
    """
    table = f"task_{day}"
    if not has_table(db, table):
        return False
    low = db.execute("SELECT dropping - 1 FROM day WHERE day = ?", (day,)).fetchone()[0]
    newest = db.execute(f"SELECT coalesce(max(n), 0) FROM {table}").fetchone()[0]  # noqa: S608
    if low >= newest:
        return False
    uncount(db, table, "n > ? AND n <= ?", (low, low + UNCOUNT_ROWS))
    db.execute("UPDATE day SET dropping = ? WHERE day = ?", (low + UNCOUNT_ROWS + 1, day))
    return True


def drop_table(db: Database) -> bool:
    """Drop one table of a day that is gone, outside a transaction. Says whether it did."""
    found = db.execute(f"SELECT c.relname::text {_LEFT} ORDER BY c.relname LIMIT 1").fetchone()
    if found is None:
        return False
    db.execute("BEGIN")
    try:
        db.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
        db.execute(f"DROP TABLE IF EXISTS {found[0]}")
        db.execute("COMMIT")
    except Unavailable as error:
        if not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            raise
        return False  # Somebody reads it still.
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return True


def has_table(db: Database, table: str) -> bool:
    return db.execute("SELECT to_regclass(?::text)", (table,)).fetchone()[0] is not None


def used_bytes(db: Database) -> int:
    """All tables with their indexes, without those that are about to go."""
    return db.execute(
        "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS BIGINT) FROM pg_class"  # noqa: S608
        " WHERE relnamespace = to_regnamespace(current_schema()::text) AND relkind = 'r'"
        f" AND oid NOT IN (SELECT c.oid {_LEFT})"
    ).fetchone()[0]
