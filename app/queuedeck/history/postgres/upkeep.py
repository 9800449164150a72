# SPDX-License-Identifier: AGPL-3.0-only
"""Space in the database: to drop a table takes milliseconds, so days go whole."""

from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import EXTRA_TABLES, TABLES
from queuedeck.history.sql.upkeep import uncount

UNCOUNT_ROWS = 20_000
"""So many tasks are taken out of the counters in one step."""


def drop_piece(db: Database, day: int) -> bool:
    """Take the tasks out of the counters, then drop the tables. `dropping` is 1 and the `n` up to
    where that was done.
    """
    table = f"task_{day}"
    if not has_table(db, table):
        return False
    low = db.execute("SELECT dropping - 1 FROM day WHERE day = ?", (day,)).fetchone()[0]
    newest = db.execute(f"SELECT coalesce(max(n), 0) FROM {table}").fetchone()[0]  # noqa: S608
    if low < newest:
        uncount(db, table, "n > ? AND n <= ?", (low, low + UNCOUNT_ROWS))
        db.execute("UPDATE day SET dropping = ? WHERE day = ?", (low + UNCOUNT_ROWS + 1, day))
    else:
        tables = ", ".join(f"{name}_{day}" for name in (*TABLES, *EXTRA_TABLES, "words"))
        # Readers of before the day was taken from them have long ended, or wait for the next step.
        db.execute("SET LOCAL lock_timeout = '200ms'")
        db.execute(f"DROP TABLE IF EXISTS {tables}")
    return True


def has_table(db: Database, table: str) -> bool:
    return db.execute("SELECT to_regclass(?::text)", (table,)).fetchone()[0] is not None


def used_bytes(db: Database) -> int:
    """All tables with their indexes."""
    return db.execute(
        "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS BIGINT) FROM pg_class"
        " WHERE relnamespace = to_regnamespace(current_schema()::text) AND relkind = 'r'"
    ).fetchone()[0]
