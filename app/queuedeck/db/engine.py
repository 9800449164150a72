# SPDX-License-Identifier: AGPL-3.0-only
"""The control store: one SQLite file, many readers, one writer at a time, also across processes.

A write transaction begins with BEGIN IMMEDIATE, so it waits for its turn before it has read
anything and never meets "database is locked" half way.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from queuedeck import folder
from queuedeck.db.migrate import is_at_head, upgrade
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


class ControlDb:
    """Sessions on control.db. `open()` first; `close()` when done, in the same event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine: AsyncEngine | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Make or migrate the file if needed, which a file at head is not asked twice."""
        if self._engine is not None:
            return
        try:
            await asyncio.to_thread(_prepare, self.path)
        except (sqlite3.Error, OperationalError, OSError) as error:
            raise Unavailable(
                f"The database {self.path} cannot be opened: {reason_of(error)}. "
                "Check that the folder exists, is writable and has free space."
            ) from error
        self._engine = _make_engine(self.path)

    async def close(self) -> None:
        """Close all connections; the last one folds the write-ahead log into the file."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session that sees one state of the database and never waits for writers."""
        async with AsyncSession(self._opened(), expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        """A session in a write transaction: committed at the end, rolled back by an exception.

        Raises `Unavailable`, with nothing changed, when the disk is full or another process holds
        the lock for too long.
        """
        engine = self._opened().execution_options(queuedeck_write=True)
        # Writers of this process queue here, fairly, instead of polling for SQLite's lock.
        async with self._turn:
            try:
                async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                    # The lock is taken now: what follows reads what it will write upon.
                    await session.connection()
                    yield session
            except OperationalError as error:
                raise Unavailable(
                    f"The server cannot write now ({reason_of(error)}). Nothing was changed; "
                    "try again."
                ) from error

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise Unavailable("The database is not open.")
        return self._engine


def reason_of(error: Exception) -> str:
    """The database's own words, without SQLAlchemy's statement and link."""
    return str(error.orig) if isinstance(error, OperationalError) else str(error)


def _prepare(path: Path) -> None:
    folder.prepare(path.parent)
    # Made here, before SQLite would with the umask's mode; -wal and -shm inherit it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if not is_at_head(path):
        upgrade(path)


def _make_engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=READERS, max_overflow=2 * READERS
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


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
