# SPDX-License-Identifier: AGPL-3.0-only
"""A history of before any layout step is brought along, on both databases."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.history_counts import Book, Told, a_life, expected
from tests.support.history_events import NOW_US
from tests.support.history_stores import PostgresKind, SqliteKind

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.histogram import pack
from queuedeck.history.postgres import schema as postgres_schema
from queuedeck.history.postgres.connection import PostgresDatabase
from queuedeck.history.sql.grains import DAY_MINUTES, SUMMED

OLD = (Path(__file__).parents[2] / "support/data/history_days.sql").read_text()
HOUR_US = 60 * MINUTE_US
OLD_GRAINS = {"roll_minute": 1, "roll_hour": 60, "roll_day": DAY_MINUTES}
"""Events were added to all three."""


def old_sqlite(folder):
    with closing(sqlite3.connect(folder / "history.db")) as db:
        db.executescript(f"PRAGMA journal_mode = WAL; {OLD} PRAGMA user_version = 2;")
    return SqliteKind(folder)


def old_postgres(_folder):
    kind = PostgresKind("of_before")
    tables = postgres_schema._written(OLD, postgres_schema._TYPES)
    with closing(PostgresDatabase(kind.url, kind.schema, writes=False)) as db:
        db.script(
            f"CREATE SCHEMA of_before; {postgres_schema._FUNCTIONS} {tables}"
            "CREATE TABLE layout (number INTEGER NOT NULL); INSERT INTO layout VALUES (1)"
        )
    return kind


@pytest.fixture
def told():
    """Tasks of yesterday, of today and, by a clock that is ahead, of tomorrow."""
    told = Told()
    for at in (-DAY_US, -7 * HOUR_US, -HOUR_US, 0, DAY_US):
        told.tell(a_life("app.mail", at=at))
    return told


@pytest.fixture(params=[old_sqlite, old_postgres])
def kind(request, tmp_path):
    return request.param(tmp_path)


def fill_in(kind, told, monkeypatch):
    """What the older version counted, written past the version of today."""
    with monkeypatch.context() as patch:
        patch.setattr("queuedeck.history.sqlite.schema.LAYOUT", 2)
        patch.setattr(postgres_schema, "LAYOUT", 1)
        with closing(kind.open()) as db:
            for table, minutes in OLD_GRAINS.items():
                rows = [
                    (1, *key, n, run_us, pack(wait), pack(run))
                    for key, (n, run_us, wait, run) in expected(told, minutes).items()
                ]
                db.executemany(
                    f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
                )


def test_counts_of_before_are_brought_along_and_go_on(kind, told, monkeypatch):
    fill_in(kind, told, monkeypatch)
    for at in (-2 * HOUR_US, 2 * DAY_US):
        with closing(kind.open()) as db:
            book = Book(db)
            book.intern, book.tasks = told.intern, told.tasks
            check(book)
            book.record(a_life("app.other", at=at), NOW_US + max(0, at))
            check(book)
            book.sum_up(NOW_US + max(0, at) + HOUR_US)
            check(book)
            assert len(book.until()) == len(SUMMED)


def check(book):
    for grain in SUMMED:
        until = book.until().get(grain.minutes, 0)
        assert book.rows(grain.table) == expected(book, grain.minutes, until)
