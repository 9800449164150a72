# SPDX-License-Identifier: AGPL-3.0-only
"""Space in the file: days are emptied piece by piece, and free pages given back. Each step holds
the writer for milliseconds.
"""

import sqlite3

from queuedeck.history.sql import upkeep
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import EXTRA_TABLES, TABLES
from queuedeck.history.sql.upkeep import uncount

DROP_PAGES = 500
"""So many pages of words are deleted in one step."""
VACUUM_PAGES = 500
"""So many pages are given back to the file system in one step."""
FREE_SHARE = 8
"""One page of so many may be free: the next days use it."""
_KEYS = {"spare": "(n, fact)", "tag": "(project, value, n)", "trace": "(n, attempt)"}
"""Of the tables without a `rowid`."""
_FIRST_PAGE = 10
"""Rows of FTS5's own table up to this one are no pages of words but what a DROP reads."""


def drop_piece(db: Database, day: int) -> bool:
    """To drop a full table would hold the writer: it is emptied first."""
    if _drop_words(db, day):
        return True
    index = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (f"task_{day}",),
    ).fetchone()
    if index is not None:
        db.execute(f"DROP INDEX {index[0]}")
        return True
    return any(_shrink(db, f"{table}_{day}", day) for table in (*EXTRA_TABLES, *TABLES))


def _drop_words(db: Database, day: int) -> bool:
    table = f"words_{day}"
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
        return False
    pages = db.execute(
        f"DELETE FROM {table}_data WHERE id IN"  # noqa: S608
        f" (SELECT id FROM {table}_data WHERE id > ? LIMIT ?)",
        (_FIRST_PAGE, DROP_PAGES),
    )
    if not pages.rowcount:
        db.execute(f"DROP TABLE {table}")
    return True


def has_table(db: Database, table: str) -> bool:
    return (
        db.execute(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        is not None
    )


def _shrink(db: Database, table: str, day: int) -> bool:
    """Delete rows of a table, or the table when it has none."""
    if not has_table(db, table):
        return False
    key = _KEYS.get(table.removesuffix(f"_{day}"), "rowid")
    columns = key.strip("()")
    some = f"SELECT {columns} FROM {table} ORDER BY {columns} LIMIT {upkeep.DROP_ROWS}"  # noqa: S608
    if table == f"task_{day}":
        uncount(db, table, f"rowid IN ({some})", ())
    deleted = db.execute(f"DELETE FROM {table} WHERE {key} IN ({some})")  # noqa: S608
    if not deleted.rowcount:
        db.execute(f"DROP TABLE {table}")
    return True


def give_back(db: Database) -> bool:
    """Give free pages back to the file system, outside a transaction. Says whether it did."""
    pages, free = _pages(db)
    if free * FREE_SHARE <= pages:
        return False
    # Each step of the statement frees one page, and `execute` takes only one.
    assert isinstance(db, sqlite3.Connection)  # noqa: S101 - only SQLite has it
    db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    return _pages(db)[1] < free


def checkpoint(db: Database) -> None:
    """Move the write-ahead log into the file and empty it, unless a reader is in the way."""
    db.execute("PRAGMA busy_timeout = 0")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute("PRAGMA busy_timeout = 5000")


def used_bytes(db: Database) -> int:
    """What the file holds, without its free pages."""
    pages, free = _pages(db)
    return (pages - free) * db.execute("PRAGMA page_size").fetchone()[0]


def _pages(db: Database) -> tuple[int, int]:
    """(all, free) pages of the file."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    return pages, db.execute("PRAGMA freelist_count").fetchone()[0]
