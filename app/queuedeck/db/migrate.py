# SPDX-License-Identifier: AGPL-3.0-only
"""Brings control.db to the newest revision. Alembic is imported only when there is work to do:
it costs 0.2 s, which a normal start does not have.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from queuedeck import paths

HEAD = "0001"
"""The newest revision in alembic/versions; a test compares."""


def is_at_head(path: Path) -> bool:
    """Whether the file holds the newest revision, by one plain read."""
    if not path.exists():
        return False
    return current(path) == HEAD


def current(path: Path) -> str:
    """The revision of the file; empty for a new one."""
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
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import NullPool, create_engine, event

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _entry: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    config = Config(str(paths.ALEMBIC / "alembic.ini"))
    config.set_main_option("script_location", str(paths.ALEMBIC))
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()
