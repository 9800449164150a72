# SPDX-License-Identifier: AGPL-3.0-only
"""One connection to Postgres that the code of `sql/` uses like one to SQLite: statements wait.

asyncpg runs on an event loop that belongs to the connection, in whatever thread uses it. When the
connection is lost, what was begun fails as `Unavailable`, and the next transaction connects again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from queuedeck.errors import Unavailable
from queuedeck.history.postgres import text
from queuedeck.history.postgres.dialect import PostgresDialect
from queuedeck.history.postgres.stages import STAGED_ROWS, Stages
from queuedeck.history.postgres.statements import from_arrays, from_table, translate
from queuedeck.history.sql.database import Dialect

CONNECT_S = 10
CLOSE_S = 2
STATEMENT_S = 60
"""A statement that takes longer is given up, and the connection with it."""
MOST_STATEMENTS = 1_000
LOCK_MS = 5_000
"""So long a table, or the right to write, is waited for."""
LOCK = 0x51444B48
"""The advisory lock of whoever writes, with the number of the schema."""

_OURS = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.InterfaceWarning,
)
"""Mistakes of ours, not of the server."""

_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # The server said goodbye between two statements.
    OSError,
    TimeoutError,
)
_FIRST = ("BEGIN", "SELECT")
_CUT = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)

T = TypeVar("T")


class Answer:
    """The rows of a statement, and how many it changed."""

    def __init__(self, rows: list[Any], status: str) -> None:
        self._rows = rows
        self._at = 0
        self._status = status

    @property
    def rowcount(self) -> int:
        count = self._status.rpartition(" ")[2]
        return int(count) if count.isdigit() else -1

    def fetchone(self) -> Any:
        self._at += 1
        return self._rows[self._at - 1] if self._at <= len(self._rows) else None

    def fetchall(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


class PostgresDatabase:
    """A `Database`. Used by one thread at a time."""

    dialect: Dialect = PostgresDialect()

    def __init__(self, dsn: str, schema: str, *, writes: bool) -> None:
        self._dsn = dsn
        self._schema = schema
        self._writes = writes
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection | None = None
        self._statements: dict[tuple[str, str], PreparedStatement] = {}
        self._kinds: dict[str, tuple[str, ...]] = {}
        self._stages = Stages()
        self.in_transaction = False

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Answer:
        if self.in_transaction or not self._is_connected() or not sql.startswith(_FIRST):
            return self._run(self._execute(sql, parameters))
        try:
            return self._run(self._execute(sql, parameters))
        except Unavailable as error:
            if self._is_connected() or isinstance(error.__cause__, TimeoutError):
                raise
        # The connection was lost while nothing was asked of it, and nothing has begun.
        return self._run(self._execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> None:
        rows = list(parameters)
        if rows:
            self._run(self._execute_rows(sql, rows))

    def script(self, sql: str) -> None:
        """Run statements without values."""
        self._run(self._script(sql))

    def close(self) -> None:
        if self._connection is not None:
            with suppress(*_ERRORS):
                self._loop.run_until_complete(self._connection.close(timeout=CLOSE_S))
        self._lose()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, STATEMENT_S))
        except (*_OURS, Unavailable):
            raise
        except _ERRORS as error:
            if self._connection is None or self._connection.is_closed() or _is_cut(error):
                self._lose()
            raise Unavailable(
                f"The history's database cannot answer now: {error or type(error).__name__}. "
                "Nothing was changed. Check that Postgres runs and lets this server in."
            ) from error

    async def _execute(self, sql: str, values: Sequence[object]) -> Answer:
        connection = await self._connected()
        word = sql.partition(" ")[0]
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            self.in_transaction = word == "BEGIN"
            status = await connection.execute(sql)
            self._stages.ended(committed=status == "COMMIT")
            return Answer([], status)
        statement = await self._prepared(connection, (sql, ""), translate)
        rows = await statement.fetch(*values)
        return Answer(rows, statement.get_statusmsg())

    async def _execute_rows(self, sql: str, rows: list[Any]) -> None:
        connection = await self._connected()
        types = await self._types(connection, sql)
        if len(rows) < STAGED_ROWS or not self.in_transaction:
            statement = await self._prepared(
                connection, (sql, "arrays"), lambda one: from_arrays(one, types)
            )
            columns = zip(*rows, strict=True)
            await statement.fetch(*map(_array, columns, types))
            return
        stage, table = self._stages.take(types)
        if table:
            await connection.execute(table)
        await connection.copy_records_to_table(stage, records=rows)
        statement = await self._prepared(
            connection, (sql, stage), lambda one: from_table(one, stage)
        )
        await statement.fetch()

    async def _types(self, connection: asyncpg.Connection, sql: str) -> tuple[str, ...]:
        """The types of a statement's values."""
        known = self._kinds.get(sql)
        if known is None:
            statement = await connection.prepare(translate(sql))
            known = tuple(kind.name for kind in statement.get_parameters())
            if len(self._kinds) >= MOST_STATEMENTS:
                self._kinds.clear()
            self._kinds[sql] = known
        return known

    async def _prepared(
        self,
        connection: asyncpg.Connection,
        key: tuple[str, str],
        change: Callable[[str], str],
    ) -> PreparedStatement:
        """The statement as changed, which is done once."""
        known = self._statements.get(key)
        if known is None:
            known = await connection.prepare(change(key[0]))
            if len(self._statements) >= MOST_STATEMENTS:
                self._statements.clear()
            self._statements[key] = known
        return known

    async def _script(self, sql: str) -> None:
        await (await self._connected()).execute(sql)

    async def _connected(self) -> "asyncpg.Connection":
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self.in_transaction:
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost")
        self._statements.clear()
        self._connection = connection = await self._connect()
        return connection

    async def _connect(self) -> "asyncpg.Connection":
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_S,
            server_settings=_settings(self._schema),
        )
        await connection.set_type_codec(
            "text", schema="pg_catalog", encoder=text.encode, decoder=text.decode, format="binary"
        )
        if self._writes:
            await _lock(connection, self._schema)
        return connection

    def _is_connected(self) -> bool:
        return self._connection is not None

    def _lose(self) -> None:
        """What was begun is undone by the server."""
        if self._connection is not None:
            self._connection.terminate()
            self._loop.run_until_complete(asyncio.sleep(0))  # The socket is closed by the loop.
        self._connection = None
        self._statements.clear()
        self._stages.ended(committed=False)
        self.in_transaction = False


def _array(values: Sequence[Any], kind: str) -> Sequence[Any]:
    """The driver does not ask our codec for the texts of an array."""
    return [text.escape(value) for value in values] if kind == "text" else values


async def _lock(connection: asyncpg.Connection, schema: str) -> None:
    """Two that write would give out the same ids. Whoever wrote before may be just leaving."""
    await connection.execute(f"SET lock_timeout = {LOCK_MS}")
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK}, hashtext('{schema}'))")
    except asyncpg.LockNotAvailableError:
        connection.terminate()
        raise Unavailable(
            "Another Queuedeck server writes the history of this database. Stop it first, or use "
            "another database."
        ) from None


def _settings(schema: str) -> dict[str, str]:
    """Every statement has its index. A planner that knows nothing of a fresh day, or what it was
    an hour ago, must not choose to read all of it.
    """
    return {
        "application_name": "queuedeck history",
        "search_path": schema,
        "synchronous_commit": "on",
        "jit": "off",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_material": "off",
        "idle_in_transaction_session_timeout": "60s",
    }


def _is_cut(error: Exception) -> bool:
    """Whether the connection can be used no more, or might answer to what was given up."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(
            error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError
        )
    return True
