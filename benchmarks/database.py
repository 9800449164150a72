# SPDX-License-Identifier: AGPL-3.0-only
"""Where the server of a benchmark has its data: in files, or in a Postgres database of its own that
is dropped in the end.
"""

import argparse
import asyncio
import contextlib
import secrets
from collections.abc import Generator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.history.store import History
from queuedeck.settings import Settings

USUAL = "postgresql://postgres@127.0.0.1:5432/postgres"
SCHEMA = "history"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--postgres", default=USUAL, help="where a database may be made")


@contextlib.contextmanager
def database_for(options: argparse.Namespace) -> Generator[str]:
    """The URL of an empty Postgres database, or an empty text for SQLite."""
    if options.database == "sqlite":
        yield ""
        return
    name = f"queuedeck_bench_{secrets.token_hex(4)}"
    ask(options.postgres, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(options.postgres)._replace(path=f"/{name}"))
    finally:
        ask(options.postgres, f"DROP DATABASE {name} WITH (FORCE)")


def history_of(settings: Settings) -> History:
    if settings.database_url:
        return PostgresHistory(settings.database_url)
    return SqliteHistory(settings.history_db)


def history_bytes(settings: Settings) -> int:
    """Tables and indexes of the history. On SQLite call it after the server has stopped, which
    folds the log into the file.
    """
    if not settings.database_url:
        return sum(file.stat().st_size for file in settings.data.glob("history*"))
    found = ask(
        settings.database_url,
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint AS size FROM pg_class"
        f" WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r'",
    )
    return int(found[0]["size"])


def database_cpu_s(settings: Settings) -> float:
    """CPU time so far of the Postgres processes that serve the connections of this database; those
    that write its log and its files in the background are not among them. 0 for SQLite.
    """
    if not settings.database_url:
        return 0.0
    rows = ask(
        settings.database_url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()",
    )
    total = 0.0
    for row in rows:
        with contextlib.suppress(psutil.Error):  # On another machine, or just gone.
            times = psutil.Process(row["pid"]).cpu_times()
            total += times.user + times.system
    return total


def ask(url: str, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(run())
