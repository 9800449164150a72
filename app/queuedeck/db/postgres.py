# SPDX-License-Identifier: AGPL-3.0-only
"""The control store on Postgres: a schema of its own, found by the search path, so that models and
queries are the same as on SQLite.
"""

from typing import TYPE_CHECKING, cast

import asyncpg
from sqlalchemy import Connection, NullPool, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from queuedeck.db.migrate import HEAD, run_revisions
from queuedeck.errors import Unavailable
from queuedeck.settings import shown_url

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

SCHEMA = "control"
CONNECT_S = 5
ANSWER_S = 30.0
"""A statement that takes longer is given up: the way to the database may be cut."""
LOCK_MS = 5_000
"""So long a write waits for those of other processes."""
IDLE_MS = 30_000
"""A process that was stopped in mid-transaction loses its lock after this."""
CONNECTIONS = 6
LOCKS = 1_363_428_675
"""The first key of our advisory locks, "QDEC"; the second says which one."""
LOCK_SERVER, LOCK_WRITE = 1, 2

_TAKE_TURN = f"SELECT pg_advisory_xact_lock({LOCKS}, {LOCK_WRITE})"
_AWAY = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58", "XX"})
"""Classes of errors that are not ours: connection, password, no such database, conflict, no room,
lock, shutdown, system, corruption."""
_AWAY_TOO = frozenset({"25006", "42501", "42P01"})
"""Read-only after a failover; a right, or a table, was taken away."""
_UNDONE = frozenset({"40", "53", "55"})
"""After these the server itself says that nothing was committed."""


class PostgresDialect:
    """What `ControlDb` must know about a database behind a URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def prepare(self) -> None:
        try:
            if await _revision(self._url) != HEAD:
                await _upgrade(self._url)
        except Exception as error:
            raise _cannot_open(self._url, error) from error

    def make_engine(self) -> AsyncEngine:
        return _engine_of(self._url, pool_size=CONNECTIONS, max_overflow=CONNECTIONS)

    def for_reading(self, engine: AsyncEngine) -> AsyncEngine:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def for_writing(self, engine: AsyncEngine) -> AsyncEngine:
        # READ COMMITTED, since each statement must see what was committed before our turn came.
        return engine.execution_options(isolation_level="READ COMMITTED", queuedeck_write=True)

    def version(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing of its own."""

    def why_unavailable(self, error: Exception) -> str:
        found = _driver_error(error)
        return _words(found) if is_away(found) else ""

    def may_have_committed(self, error: Exception) -> bool:
        return _state_of(_driver_error(error))[:2] not in _UNDONE


async def connect(url: str, name: str = "queuedeck", **settings: str) -> asyncpg.Connection:
    """A connection outside any pool. `name` is what the database shows of it."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_S,
        command_timeout=ANSWER_S,
        server_settings={
            "application_name": name,
            "search_path": SCHEMA,
            "lock_timeout": str(LOCK_MS),
            "idle_in_transaction_session_timeout": str(IDLE_MS),
            **settings,
        },
    )


async def current_revision(url: str) -> str:
    """The revision of the control store; empty when there is none. Raises `Unavailable`."""
    try:
        return await _revision(url)
    except Exception as error:
        raise _cannot_open(url, error) from error


def is_away(error: BaseException) -> bool:
    """Whether the database, or the way to it, is what failed: not a mistake of ours."""
    if isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError):
        return True
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "terminat" in str(error)
    state = _state_of(error)
    return state[:2] in _AWAY or state in _AWAY_TOO


async def _revision(url: str) -> str:
    connection = await connect(url)
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        found = None
    finally:
        await connection.close()
    return str(found or "")


async def _upgrade(url: str) -> None:
    """Run what is missing, in one transaction. A second process waits, then finds nothing to do."""
    connection = await connect(url, lock_timeout="60000")
    try:
        async with connection.transaction():
            await connection.execute(_TAKE_TURN)
            # Not IF NOT EXISTS: that asks for the right to make schemas even when there is one.
            if await connection.fetchval("SELECT to_regnamespace($1)", SCHEMA) is None:
                await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    finally:
        await connection.close()
    engine = _engine_of(url, poolclass=NullPool)
    try:
        async with engine.connect() as session:
            await session.execution_options(queuedeck_write=True)
            await session.run_sync(run_revisions)
            await session.commit()
    finally:
        await engine.dispose()


def _engine_of(url: str, **options: object) -> AsyncEngine:
    async def make(*_: object, **__: object) -> asyncpg.Connection:
        return await connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=make, **options)
    event.listen(engine.sync_engine, "begin", _on_begin)
    event.listen(engine.sync_engine, "checkout", _on_checkout)
    return engine


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get("queuedeck_write", False):
        connection.exec_driver_sql(_TAKE_TURN)


def _on_checkout(
    connection: "DBAPIConnection", _entry: "ConnectionPoolEntry", _proxy: "PoolProxiedConnection"
) -> None:
    """After a restart of the database every connection of the pool is dead, and the driver knows.
    The pool makes a new one then, without a question to the database for each that is well.
    """
    if cast("asyncpg.Connection", connection.driver_connection).is_closed():
        raise DisconnectionError("the connection was closed by the database")


def _cannot_open(url: str, error: Exception) -> Exception:
    found = _driver_error(error)
    if not (is_away(found) or isinstance(found, asyncpg.InterfaceError)):
        return error
    return Unavailable(
        f"The database {shown_url(url)} cannot be opened: {_words(found)}. "
        "Check QUEUEDECK_DATABASE_URL, and that Postgres runs and lets this user make a schema."
    )


def _driver_error(error: BaseException) -> BaseException:
    """The driver's own error under SQLAlchemy's."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _state_of(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__
