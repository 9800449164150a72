# SPDX-License-Identifier: AGPL-3.0-only
"""A control database of a test's own, a clock that tests move, and who acts in them."""

import asyncio
import functools
import re
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import asyncpg
from tests.support import postgres

from queuedeck.clock import SECOND_US
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.audit.queries import list_entries
from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.keyring import Keyring

KEYRING = Keyring(b"\x07" * 32)
OTHER_KEYRING = Keyring(b"\x08" * 32)
SHELL = Actor("cli", "root", "root", "shell")
PASSWORD = "correct horse battery"
NOON_US = 1_767_182_400 * SECOND_US


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self, now_us=NOON_US):
        self.now_us = now_us

    def __call__(self):
        return self.now_us

    def advance(self, seconds):
        self.now_us += int(seconds * SECOND_US)


def quick_passwords():
    """argon2id with the least work it allows."""
    return Passwords(time_cost=1, memory_kib=8)


@contextmanager
def new_place(kind, folder):
    """Where a test may have its data: a folder, or the URL of a Postgres database with the tables
    in it, which is gone after the test.
    """
    if kind == "sqlite":
        yield folder
        return
    url = _spare.pop() if _spare else postgres.new_database(postgres.name_of(_template()))
    try:
        yield url
    finally:
        if _is_emptied(url):
            _spare.append(url)
        else:
            postgres.drop_database(url)


_spare = []
"""Databases of tests that have ended: to empty one is much cheaper than to drop it."""
_TABLES_AND_TRIGGERS = (
    "SELECT (SELECT count(*) FROM pg_tables WHERE schemaname = 'control')"
    " + (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('control.audit_entries'))"
)
_EMPTY = """
DO $$ DECLARE one record; BEGIN
  SET LOCAL session_replication_role = replica;  -- neither foreign keys nor triggers
  FOR one IN SELECT oid::regclass AS name, relkind, relname FROM pg_class
    WHERE relnamespace IN ('control'::regnamespace, 'history'::regnamespace)
      AND relkind IN ('r', 'S') AND relname NOT IN ('layout', 'alembic_version')
  LOOP
    IF one.relkind = 'S' THEN EXECUTE 'ALTER SEQUENCE ' || one.name || ' RESTART';
    ELSIF one.relname ~ '_[0-9]+$' THEN EXECUTE 'DROP TABLE ' || one.name;
    ELSE EXECUTE 'DELETE FROM ' || one.name; END IF;
  END LOOP;
END $$
"""


def _is_emptied(url):
    """False when the test has broken more than rows."""
    try:
        whole, found = (postgres.execute(at, _TABLES_AND_TRIGGERS) for at in (_template(), url))
        if found == whole:
            postgres.execute(url, _EMPTY)
    except asyncpg.PostgresError:
        return False
    return found == whole


@functools.cache
def _template():
    """A database with the tables: a copy takes a tenth of the time that making them takes."""
    url = postgres.new_database()
    command = [sys.executable, "-m", "tests.support.control", url]
    subprocess.run(command, check=True, timeout=60)
    return url


async def _make_tables(url):
    for store in (ControlDb(url), PostgresHistory(url)):
        await store.open()
        await store.close()


def database_at(place):
    """What `ControlDb` takes."""
    return place if "://" in str(place) else Path(place) / "data" / "control.db"


def history_at(place, clock):
    return (
        PostgresHistory(place, clock)
        if "://" in str(place)
        else SqliteHistory(Path(place) / "history.db", clock)
    )


@asynccontextmanager
async def control_db(place):
    db = ControlDb(database_at(place))
    await db.open()
    try:
        yield db
    finally:
        await db.close()


async def audited(db, project=""):
    """(action, outcome) of the entries of a project, oldest first."""
    page = await list_entries(db, project, limit=500)
    return [(line.action, line.outcome) for line in reversed(page.entries)]


def run_sql(database, *statements):
    """Change a control database behind the server's back, as somebody with access could.

    A statement is text in SQLite's words, or (text, parameters). Returns the rows of the last one.
    """
    pairs = [one if isinstance(one, tuple) else (one, ()) for one in statements]
    if not isinstance(database, Path):
        translated = [(_for_postgres(text), parameters) for text, parameters in pairs]
        found = postgres.execute(database, "SET search_path = control", *translated)
        return [tuple(row) for row in found]
    rows = []
    with closing(sqlite3.connect(database)) as connection:
        for text, parameters in pairs:
            rows = connection.execute(text, parameters).fetchall()
        connection.commit()
    return rows


def all_that_is_stored(database):
    """Every byte of the database, to look for what must not be in it."""
    if isinstance(database, Path):
        return database.read_bytes() + database.with_name(database.name + "-wal").read_bytes()
    tables = run_sql(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'control'")
    rows = [row for (name,) in tables for row in run_sql(database, f"SELECT * FROM {name}")]
    assert rows
    values = [value for row in rows for value in row]
    return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)


def _for_postgres(text):
    """The few words that tests use and that differ."""
    numbers = iter(range(1, 100))
    for pattern, ours in (
        (r"x'([0-9a-f]*)'", r"'\\x\1'::bytea"),
        (r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')"),
        (
            r"CAST\(replace\((\w+), ('[^']*'), ('[^']*')\) AS BLOB\)",
            r"convert_to(replace(convert_from(\1, 'UTF8'), \2, \3), 'UTF8')",
        ),
        (r"(DROP TRIGGER (?:IF EXISTS )?\w+)", r"\1 ON audit_entries"),
        (r"\?", lambda _: f"${next(numbers)}"),
    ):
        text = re.sub(pattern, ours, text)
    return text


if __name__ == "__main__":
    asyncio.run(_make_tables(sys.argv[1]))
