# SPDX-License-Identifier: AGPL-3.0-only
"""The layout of history.db, and how its connections are opened. Times are microseconds, UTC.

The tables of all days are in `sql/tables.py`, those of one day in `dialect.py`.
"""

import os
import sqlite3
from pathlib import Path

from queuedeck.errors import Unavailable
from queuedeck.history.sql.tables import ALL_TABLES, NEW_TABLES, STEPS
from queuedeck.history.sqlite.dialect import SqliteDatabase
from queuedeck.history.sqlite.migrate import copy_days

_DAYS_LAYOUT = 2
"""The first with a table for each day."""
LAYOUT = _DAYS_LAYOUT + len(STEPS)
"""Kept in `PRAGMA user_version`. Counts up when older code could not read the file."""

APPLICATION_ID = 0x51444B48
"""Marks the file as a Queuedeck history (`QDKH`)."""


def open_writer(path: Path) -> SqliteDatabase:
    """The one connection that writes. Makes the layout in an empty file."""
    # Made here, before SQLite would with the umask's mode; -wal and -shm inherit it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=SqliteDatabase,
    )
    try:
        _set_up(db, path)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> SqliteDatabase:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, factory=SqliteDatabase
    )
    db.execute("PRAGMA busy_timeout = 5000")
    db.execute("PRAGMA mmap_size = 268435456")
    db.execute("PRAGMA query_only = ON")
    return db


def _set_up(db: SqliteDatabase, path: Path) -> None:
    db.execute("PRAGMA busy_timeout = 5000")
    layout: int = db.execute("PRAGMA user_version").fetchone()[0]
    if layout == 0:
        _check_empty(db, path)
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif layout > LAYOUT:
        raise Unavailable(
            f"{path} has layout {layout}, written by a newer Queuedeck; this one reads up to "
            f"{LAYOUT}. Start the newer version, or give it another QUEUEDECK_DATA folder."
        )
    db.execute("PRAGMA journal_mode = WAL")
    # NORMAL lost acknowledged rows in 2 of 5 power cuts, FULL in none of 7.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cache_size = -65536")
    db.execute("PRAGMA wal_autocheckpoint = 4000")
    db.execute("PRAGMA journal_size_limit = 67108864")
    if layout == 0:
        db.executescript(
            f"BEGIN IMMEDIATE; {ALL_TABLES}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT}; COMMIT;"
        )
    elif layout < LAYOUT:
        _migrate(db, layout)


def _migrate(db: SqliteDatabase, layout: int) -> None:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if layout < _DAYS_LAYOUT:
            _run(db, NEW_TABLES)
            copy_days(db)
        else:
            for step in STEPS[layout - _DAYS_LAYOUT :]:
                _run(db, step)
        db.execute(f"PRAGMA user_version = {LAYOUT}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _run(db: SqliteDatabase, statements: str) -> None:
    """`executescript` would commit what was begun."""
    for statement in statements.split(";"):
        db.execute(statement)


def _check_empty(db: SqliteDatabase, path: Path) -> None:
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise Unavailable(
            f"{path} is a database, but not a Queuedeck history. Move it away, or set "
            "QUEUEDECK_DATA to another folder."
        )
