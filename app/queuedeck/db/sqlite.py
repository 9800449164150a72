# SPDX-License-Identifier: AGPL-3.0-only
"""The control store in a file: many readers, one writer at a time, also across processes."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from queuedeck import folder
from queuedeck.db.migrate import HEAD, run_revisions
from queuedeck.errors import Unavailable

BUSY_TIMEOUT_MS = 5_000
READERS = 4
"""Connections kept open; each is a thread of aiosqlite."""

_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    # NORMAL lost acknowledged rows in 2 of 5 power cuts.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


class SqliteDialect:
    """What `ControlDb` must know about a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watch: sqlite3.Connection | None = None

    async def prepare(self) -> None:
        try:
            await asyncio.to_thread(_prepare, self._path)
        except (sqlite3.Error, OperationalError, OSError) as error:
            raise Unavailable(
                f"The database {self._path} cannot be opened: {_words(error)}. "
                "Check that the folder exists, is writable and has free space."
            ) from error

    def make_engine(self) -> AsyncEngine:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{self._path}", pool_size=READERS, max_overflow=2 * READERS
        )
        event.listen(engine.sync_engine, "connect", _on_connect)
        event.listen(engine.sync_engine, "begin", _on_begin)
        return engine

    def for_reading(self, engine: AsyncEngine) -> AsyncEngine:
        return engine

    def for_writing(self, engine: AsyncEngine) -> AsyncEngine:
        return engine.execution_options(queuedeck_write=True)

    def version(self) -> int | None:
        """Read from the shared memory of the write-ahead log: microseconds, no disk."""
        try:
            if self._watch is None:
                self._watch = sqlite3.connect(self._path, check_same_thread=False, timeout=0)
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def why_unavailable(self, error: Exception) -> str:
        return _words(error) if isinstance(error, OperationalError) else ""

    def may_have_committed(self, error: Exception) -> bool:
        """Never: a commit that fails is undone."""
        del error
        return False


def is_at_head(path: Path) -> bool:
    """Whether the file holds the newest revision, by one plain read."""
    return current(path) == HEAD


def current(path: Path) -> str:
    """The revision of the file; empty for a new one, or when there is none."""
    if not path.exists():
        return ""
    with closing(sqlite3.connect(path, timeout=5.0)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return ""
    return str(row[0]) if row else ""


def upgrade(path: Path) -> None:
    """Run what is missing, in one transaction. A second process waits, then finds nothing to do."""
    from sqlalchemy import NullPool, create_engine

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _entry: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            run_revisions(connection)
            connection.commit()
    finally:
        engine.dispose()


def _words(error: Exception) -> str:
    """The database's own, without SQLAlchemy's statement and link."""
    return str(error.orig) if isinstance(error, OperationalError) else str(error)


def _prepare(path: Path) -> None:
    folder.prepare(path.parent)
    # Made here, before SQLite would with the umask's mode; -wal and -shm inherit it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if not is_at_head(path):
        upgrade(path)


def _on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: `_on_begin` says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _on_begin(connection: Connection) -> None:
    writes = cast("bool", connection.get_execution_options().get("queuedeck_write", False))
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
