# SPDX-License-Identifier: AGPL-3.0-only
"""Keeps a second server away from a Postgres database, as the lock of the data folder does for
files: an advisory lock on a connection of its own, which is gone exactly when its server is.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import asyncpg

from queuedeck.db.postgres import LOCK_SERVER, LOCKS, connect, is_away
from queuedeck.errors import Conflict, Unavailable
from queuedeck.settings import shown_url

WAIT_S = 5.0
"""So long a starting server waits for one that is just ending."""
START_S = 15.0
"""So long a starting server waits for a database that does not answer yet."""
AGAIN_S = 0.2
ASK_EVERY_S = 5.0
"""So often the connection is tried: a way that is cut tells nobody."""
MOST_NAME = 60
"""Postgres cuts the names of connections after so many characters."""

_KEEPALIVES = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
"""The database notices within 11 s that this host is gone."""
_TRY = f"SELECT pg_try_advisory_lock({LOCKS}, {LOCK_SERVER})"
_HOLDER = (
    "SELECT pid, application_name, host(client_addr) AS client_addr"
    " FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $1 AND objid = $2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

_log = logging.getLogger("queuedeck.server")


@asynccontextmanager
async def hold(url: str) -> AsyncGenerator[asyncio.Event]:
    """Keep other servers away. Raises `Conflict` that says who has the database, or `Unavailable`.

    After an interruption the lock is taken again. The event tells that another server was faster:
    whoever holds it has to stop.
    """
    holder = _Holder(url)
    await holder.begin()
    keeping = asyncio.create_task(holder.keep(), name="hold of the database")
    try:
        yield holder.taken_away
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await holder.end()


class _Holder:
    def __init__(self, url: str) -> None:
        self.taken_away = asyncio.Event()
        self._url = url
        where = f"queuedeck server {socket.gethostname()}"
        # The last part tells our own earlier connection from anybody else's.
        mark = f" {os.getpid()} {secrets.token_hex(4)}"
        self._name = where[: MOST_NAME - len(mark)] + mark
        self._connection: asyncpg.Connection | None = None

    async def begin(self) -> None:
        loop = asyncio.get_running_loop()
        connection = await self._first_connection(loop.time() + START_S)
        until = loop.time() + WAIT_S
        while not await connection.fetchval(_TRY):
            if loop.time() > until:
                who = await _who_holds(connection)
                await connection.close()
                raise Conflict(
                    f"The database {shown_url(self._url)} is in use by another Queuedeck server"
                    f"{who}. Stop that one, or give this one a database of its own with "
                    "QUEUEDECK_DATABASE_URL."
                )
            await asyncio.sleep(AGAIN_S)
        self._connection = connection

    async def keep(self) -> None:
        """Until another server has the database."""
        while not self.taken_away.is_set():
            await asyncio.sleep(AGAIN_S if self._is_gone() else ASK_EVERY_S)
            try:
                if self._is_gone():
                    await self._take_again()
                elif self._connection is not None:
                    await self._connection.fetchval("SELECT 1", timeout=ASK_EVERY_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.debug("The hold of the database failed: %s", error)
                self._drop()

    async def end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=AGAIN_S)

    def _is_gone(self) -> bool:
        return self._connection is None or self._connection.is_closed()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _first_connection(self, until: float) -> asyncpg.Connection:
        while True:
            try:
                return await connect(self._url, self._name, **_KEEPALIVES)
            except Exception as error:
                # Refused, or starting up: containers of one host begin together.
                waits = isinstance(error, OSError | TimeoutError | asyncpg.CannotConnectNowError)
                if waits and asyncio.get_running_loop().time() < until:
                    _log.info("Waiting for the database %s: %s", shown_url(self._url), error)
                    await asyncio.sleep(1)
                    continue
                if not (is_away(error) or isinstance(error, asyncpg.InterfaceError)):
                    raise
                raise Unavailable(
                    f"The database {shown_url(self._url)} cannot be opened: {error}. "
                    "Check QUEUEDECK_DATABASE_URL, and that Postgres runs there."
                ) from error

    async def _take_again(self) -> None:
        self._drop()
        connection = await connect(self._url, self._name, **_KEEPALIVES)
        self._connection = connection
        if await connection.fetchval(_TRY):
            _log.info("The database is back and held again.")
            return
        holders = await connection.fetch(_HOLDER, LOCKS, LOCK_SERVER)
        mine = [row["pid"] for row in holders if row["application_name"] == self._name]
        if holders and not mine:
            _log.error(
                "Another Queuedeck server took the database%s.", await _who_holds(connection)
            )
            self.taken_away.set()
            return
        for pid in mine:  # Our own connection of before: the database has not noticed its end yet.
            await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
        self._drop()


async def _who_holds(connection: asyncpg.Connection) -> str:
    rows = await connection.fetch(_HOLDER, LOCKS, LOCK_SERVER)
    if not rows:
        return ""
    name = str(rows[0]["application_name"] or "").removeprefix("queuedeck server ")
    host, _, process = name.rpartition(" ")[0].rpartition(" ")
    at = rows[0]["client_addr"]
    told = [f"on host {host}, process {process}"] if host else []
    told += [f"connected from {at}"] if at else []
    return f" ({', '.join(told)})" if told else ""
