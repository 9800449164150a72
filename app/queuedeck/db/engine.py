# SPDX-License-Identifier: AGPL-3.0-only
"""The control store: many readers, one writer at a time, also across processes.

A write transaction waits for its turn before it has read anything: on SQLite by BEGIN IMMEDIATE,
on Postgres by a lock that ends with the transaction. So two operators who press the same button
come one after the other, and the audit log has one end.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from queuedeck.db.sqlite import SqliteDialect
from queuedeck.errors import Unavailable

REMEMBER_S = 10.0
"""What time alone ends, a session for example, may be seen as it was for so long."""
MOST_REMEMBERED = 2_000

T = TypeVar("T")


class Dialect(Protocol):
    """What differs between the databases."""

    async def prepare(self) -> None:
        """Make or migrate what is there. Raises `Unavailable` with the reason."""
        ...

    def make_engine(self) -> AsyncEngine: ...

    def for_reading(self, engine: AsyncEngine) -> AsyncEngine:
        """Its transactions see one state of the database and wait for nobody."""
        ...

    def for_writing(self, engine: AsyncEngine) -> AsyncEngine:
        """Its transactions have the only lock for writing from their beginning."""
        ...

    def version(self) -> int | None:
        """A number that changes whenever any process commits a change; None: it cannot be asked
        without waiting."""
        ...

    def close(self) -> None:
        """Ends what `version` uses."""
        ...

    def why_unavailable(self, error: Exception) -> str:
        """The reason why the database cannot do this now; empty for any other error."""
        ...

    def may_have_committed(self, error: Exception) -> bool:
        """Whether a commit that ended with this error may have happened all the same."""
        ...


class ControlDb:
    """Sessions on a file, or on the database behind a URL. `open()` first; `close()` when done, in
    the same event loop.
    """

    def __init__(self, database: Path | str) -> None:
        self.database = database
        self._dialect = _dialect_of(database)
        self._engine: AsyncEngine | None = None
        self._turn = asyncio.Lock()
        self._remembered: dict[Hashable, Any] = {}
        self._remembered_of: int | None = None
        self._remembered_until = 0.0

    async def open(self) -> None:
        """Make or migrate the tables if needed, for which one at head is not asked twice."""
        if self._engine is None:
            await self._dialect.prepare()
            self._engine = self._dialect.make_engine()

    async def close(self) -> None:
        """Close all connections; on SQLite the last one folds the write-ahead log into the file."""
        engine, self._engine = self._engine, None
        if engine is not None:
            self._dialect.close()
            await engine.dispose()

    async def remembered(self, key: Hashable, read: Callable[[], Awaitable[T | None]]) -> T | None:
        """What `read` finds, or found last time, if nothing at all has been written since.

        For what each request asks and almost never changes: who is signed in, who may do what.
        `key` holds everything that the answer depends on beside the database. What was not found is
        asked for again. Where the database does not say cheaply whether it has changed (Postgres),
        nothing is remembered.
        """
        version = self._dialect.version()
        if version is None:
            return await read()
        now = asyncio.get_running_loop().time()
        if version != self._remembered_of or now >= self._remembered_until:
            self._remembered = {}
            self._remembered_of, self._remembered_until = version, now + REMEMBER_S
        elif key in self._remembered:
            return cast("T", self._remembered[key])
        kept = self._remembered
        found = await read()
        if found is not None and len(kept) < MOST_REMEMBERED:
            # Into the memory of the state that was asked for: a newer one has another.
            kept[key] = found
        return found

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session that sees one state of the database and never waits for writers.

        Raises `Unavailable` when the database cannot answer.
        """
        engine = self._dialect.for_reading(self._opened())
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                yield session
        except Exception as error:
            if reason := self._dialect.why_unavailable(error):
                raise Unavailable(
                    f"The database cannot answer now ({reason}). Try again."
                ) from error
            raise

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        """A session in a write transaction: committed at the end, rolled back by an exception.

        Raises `Unavailable`, with nothing changed, when the disk is full, another process holds
        the lock for too long, or the database is away. When that happens during the commit itself
        the message says that the outcome is not known.
        """
        engine, is_whole = self._dialect.for_writing(self._opened()), False
        # Writers of this process queue here, fairly, instead of polling for the database's lock.
        async with self._turn:
            try:
                async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                    # The lock is taken now: what follows reads what it will write upon.
                    await session.connection()
                    yield session
                    await session.flush()
                    is_whole = True
            except Exception as error:
                if reason := self._dialect.why_unavailable(error):
                    unknown = is_whole and self._dialect.may_have_committed(error)
                    raise Unavailable(_refusal(reason, unknown=unknown)) from error
                raise

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise Unavailable("The database is not open.")
        return self._engine


async def revision_of(database: Path | str) -> str:
    """The revision of a control database, which is not opened; empty when there is none."""
    if isinstance(database, Path):
        from queuedeck.db.sqlite import current

        return await asyncio.to_thread(current, database)
    from queuedeck.db.postgres import current_revision

    return await current_revision(database)


def _dialect_of(database: Path | str) -> Dialect:
    if isinstance(database, Path):
        return SqliteDialect(database)
    # Its driver is not imported where there is a file.
    from queuedeck.db.postgres import PostgresDialect

    return PostgresDialect(database)


def _refusal(reason: str, *, unknown: bool) -> str:
    if unknown:
        return (
            f"The database went away while this was written ({reason}). It is not known whether it "
            "was done: look before you try again."
        )
    return f"The server cannot write now ({reason}). Nothing was changed; try again."
