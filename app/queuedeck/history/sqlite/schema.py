# SPDX-License-Identifier: AGPL-3.0-only
"""The layout of history.db, and how its connections are opened. Times are microseconds, UTC.

Here are the tables of all days; those of one day are in `days.py`.
"""

import os
import sqlite3
from pathlib import Path

from queuedeck.errors import Unavailable
from queuedeck.history.sql import fulltext, ledger
from queuedeck.history.sqlite.migrate import copy_days

LAYOUT = 2
"""Kept in `PRAGMA user_version`. Counts up when older code could not read the file."""

APPLICATION_ID = 0x51444B48
"""Marks the file as a Queuedeck history (`QDKH`)."""

_DAYS = """
CREATE TABLE day (
  day INTEGER PRIMARY KEY, layout INTEGER NOT NULL, searched INTEGER NOT NULL,
  dropping INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE usage (
  day INTEGER NOT NULL, project INTEGER NOT NULL, tasks INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (day, project)) STRICT, WITHOUT ROWID;

-- Tasks of days that are no longer searched, for as long as facts about them are expected.
CREATE TABLE open_task (
  id INTEGER PRIMARY KEY, key INTEGER NOT NULL, until_day INTEGER) STRICT;
CREATE INDEX open_task_key ON open_task (key);
"""

_TABLES = """
CREATE TABLE word (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, kind INTEGER NOT NULL, value TEXT NOT NULL,
  UNIQUE (project, kind, value)) STRICT;

CREATE TABLE source (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, fingerprint TEXT NOT NULL,
  engine TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, text_ids INTEGER NOT NULL,
  UNIQUE (project, fingerprint)) STRICT;

CREATE TABLE lane (
  lane TEXT PRIMARY KEY, project INTEGER NOT NULL, committed INTEGER NOT NULL,
  agent TEXT NOT NULL, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE retry (
  project INTEGER NOT NULL, source TEXT NOT NULL, new TEXT NOT NULL, old TEXT NOT NULL,
  at_us INTEGER NOT NULL, PRIMARY KEY (project, source, new)) STRICT, WITHOUT ROWID;
CREATE INDEX retry_old ON retry (project, source, old);

CREATE TABLE cancel_request (task INTEGER PRIMARY KEY, project INTEGER NOT NULL) STRICT;

CREATE TABLE loss (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, agent TEXT NOT NULL, lane TEXT NOT NULL,
  last INTEGER NOT NULL, count INTEGER NOT NULL, at_us INTEGER NOT NULL, kinds TEXT NOT NULL,
  reason TEXT NOT NULL) STRICT;

CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, agent TEXT NOT NULL, lane TEXT NOT NULL,
  number INTEGER NOT NULL, at_us INTEGER NOT NULL, size INTEGER NOT NULL, raw BLOB NOT NULL,
  error TEXT NOT NULL) STRICT;

CREATE TABLE state_count (
  project INTEGER NOT NULL, source INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (project, source, state)) STRICT, WITHOUT ROWID;

CREATE TABLE event_count (
  project INTEGER PRIMARY KEY, events INTEGER NOT NULL, lost INTEGER NOT NULL,
  quarantined INTEGER NOT NULL, newest_us INTEGER) STRICT;
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes. Makes the layout in an empty file."""
    # Made here, before SQLite would with the umask's mode; -wal and -shm inherit it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        _set_up(db, path)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA busy_timeout = 5000")
    db.execute("PRAGMA mmap_size = 268435456")
    db.execute("PRAGMA query_only = ON")
    return db


def _set_up(db: sqlite3.Connection, path: Path) -> None:
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
            f"BEGIN IMMEDIATE; {_DAYS} {ledger.TABLES} {fulltext.TABLES} {_TABLES}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT}; COMMIT;"
        )
    elif layout < LAYOUT:
        _migrate(db)


def _migrate(db: sqlite3.Connection) -> None:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in (_DAYS + ledger.TABLES + fulltext.TABLES).split(";"):
            db.execute(statement)
        copy_days(db)
        db.execute(f"PRAGMA user_version = {LAYOUT}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _check_empty(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise Unavailable(
            f"{path} is a database, but not a Queuedeck history. Move it away, or set "
            "QUEUEDECK_DATA to another folder."
        )
