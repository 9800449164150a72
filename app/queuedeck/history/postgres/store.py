# SPDX-License-Identifier: AGPL-3.0-only
"""`History` in a schema of a Postgres database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import asyncpg

from queuedeck.clock import Clock, now_us
from queuedeck.history.postgres import upkeep
from queuedeck.history.postgres.connection import PostgresDatabase
from queuedeck.history.postgres.schema import open_writer
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.store import SqlHistory

SCHEMA = "history"

R = TypeVar("R")


class PostgresHistory(SqlHistory):
    """The hot store in a database. Whoever opens it first writes alone: an advisory lock."""

    def __init__(self, dsn: str, clock: Clock = now_us, schema: str = SCHEMA) -> None:
        super().__init__(clock)
        self._dsn = dsn
        self._schema = schema

    def _open_writer(self) -> Database:
        return open_writer(self._dsn, self._schema)

    def _open_reader(self) -> Database:
        return PostgresDatabase(self._dsn, self._schema, writes=False)

    async def _give_back(self) -> bool:
        return await self._read(upkeep.drop_table)  # The writer need not wait for it.

    def _explained(self, error: Exception) -> Exception:
        return error  # The connection has done so.

    async def _on(self, threads: ThreadPoolExecutor, act: Callable[[], R]) -> R:
        try:
            return await super()._on(threads, act)
        except asyncpg.UndefinedTableError:
            if threads is not self._reading:
                raise
            return await super()._on(threads, act)  # A day was dropped in between.
