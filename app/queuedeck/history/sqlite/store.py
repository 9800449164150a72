# SPDX-License-Identifier: AGPL-3.0-only
"""`History` on one SQLite file."""

import sqlite3
from pathlib import Path

from queuedeck.clock import Clock, now_us
from queuedeck.errors import Unavailable
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.store import SqlHistory
from queuedeck.history.sqlite.schema import open_reader, open_writer


class SqliteHistory(SqlHistory):
    """The hot store in a file."""

    def __init__(self, path: Path, clock: Clock = now_us) -> None:
        super().__init__(clock)
        self._path = path

    def _open_writer(self) -> Database:
        return open_writer(self._path)

    def _open_reader(self) -> Database:
        return open_reader(self._path)

    def _explained(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(
            error, sqlite3.IntegrityError | sqlite3.ProgrammingError
        ):
            return error
        return Unavailable(
            f"The history store cannot answer now: {error}. Nothing was changed. "
            "Check the free space and the permissions of the data folder."
        )
