# SPDX-License-Identifier: AGPL-3.0-only
"""The databases that the tests of the history run on, each empty."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from tests.support import postgres
from tests.support.history_events import NOW_US

from queuedeck.history.postgres.connection import PostgresDatabase
from queuedeck.history.postgres.schema import open_writer as open_postgres
from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.sql.writer import Writer
from queuedeck.history.sqlite.schema import open_reader
from queuedeck.history.sqlite.schema import open_writer as open_sqlite
from queuedeck.history.sqlite.store import SqliteHistory

SCHEMA = "history"
EMPTY = """
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT relname, relkind FROM pg_class WHERE relnamespace = to_regnamespace('SCHEMA')
    AND relkind IN ('r', 'S') AND relname <> 'layout'
  LOOP
    IF one.relkind = 'S' THEN EXECUTE 'ALTER SEQUENCE SCHEMA.' || one.relname || ' RESTART';
    ELSIF one.relname ~ '_[0-9]+$' THEN EXECUTE 'DROP TABLE SCHEMA.' || one.relname;
    ELSE EXECUTE 'DELETE FROM SCHEMA.' || one.relname; END IF;
  END LOOP;
END $$
"""


class Kind:
    """A database that holds one history."""

    def writer(self, clock=lambda: NOW_US):
        return Writer(self.open(), clock)

    def rows(self, sql, *values):
        """What is stored, from within an event loop too."""
        return self.ask(lambda db: [tuple(row) for row in db.execute(sql, values)])

    def ask(self, question):
        """The answer of a function of a connection that only reads."""

        def act():
            with closing(self.reader()) as db:
                return question(db)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(act).result()


class Listening:
    """A connection that notes what it is asked, what it writes, and how much it reads."""

    def __init__(self, db):
        self._db = db
        self.ran = []
        self.written = 0
        self.read = 0

    def __getattr__(self, name):
        return getattr(self._db, name)

    def execute(self, sql, *values):
        self.ran.append(sql)
        rows = self._db.execute(sql, *values)
        return Read(rows.fetchall(), rows.rowcount, self)

    def executemany(self, sql, rows):
        rows = list(rows)
        self.ran.append(sql)
        self.written += len(rows)
        self._db.executemany(sql, rows)


class Read:
    """Rows that are counted as they are handed out."""

    def __init__(self, rows, rowcount, by):
        by.read += len(rows)
        self._rows = iter(rows)
        self.rowcount = rowcount

    def fetchone(self):
        return next(self._rows, None)

    def fetchall(self):
        return list(self._rows)

    def __iter__(self):
        return self._rows


class SqliteKind(Kind):
    name = "sqlite"

    def __init__(self, folder):
        self.path = folder / "history.db"

    def empty(self):
        self.path.unlink(missing_ok=True)

    @contextmanager
    def fresh(self):
        """A writer of an empty history, which need not survive a power cut."""
        self.empty()
        writer = self.writer()
        writer.db.execute("PRAGMA synchronous = OFF")
        try:
            yield writer
        finally:
            writer.close()

    def close(self):
        pass

    @staticmethod
    def refuse_lanes(db):
        """No transaction can be ended, as on a full disk."""
        db.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON main.lane"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )

    @staticmethod
    def take_lanes(db):
        db.execute("DROP TRIGGER full")

    def history(self, clock=lambda: NOW_US):
        return SqliteHistory(self.path, clock)

    def open(self):
        return open_sqlite(self.path)

    def reader(self):
        return open_reader(self.path)

    @staticmethod
    def dicts(db, sql):
        cursor = db.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @staticmethod
    def names(db):
        """Of tables and indexes."""
        return {row[0] for row in db.execute("SELECT name FROM sqlite_schema")}


class PostgresKind(Kind):
    name = "postgres"

    def __init__(self, schema=SCHEMA):
        self.url = postgres.database_url()
        self.schema = schema
        self._db = None
        self.empty()

    def empty(self):
        postgres.execute(self.url, EMPTY.replace("SCHEMA", self.schema))

    @contextmanager
    def fresh(self):
        """A writer of an empty history, which need not survive a power cut. Its connection stays:
        to open one takes longer than most tests.
        """
        if self._db is None:
            self._db = self.open()
            self._db.execute("SET synchronous_commit = off")
        self._db.script(EMPTY.replace("SCHEMA", self.schema))
        yield Writer(self._db, lambda: NOW_US)

    def close(self):
        if self._db is not None:
            self._db.close()

    @staticmethod
    def refuse_lanes(db):
        """No transaction can be ended, as on a full disk."""
        db.execute("ALTER TABLE lane ADD CONSTRAINT refused CHECK (committed < 0) NOT VALID")

    @staticmethod
    def take_lanes(db):
        db.execute("ALTER TABLE lane DROP CONSTRAINT refused")
        # A rollback leaves a gap, and the model of the tests counts words without one.
        db.execute(
            "SELECT setval(pg_get_serial_sequence('word', 'id'), coalesce(max(id), 0) + 1, false)"
            " FROM word"
        )

    def history(self, clock=lambda: NOW_US):
        return PostgresHistory(self.url, clock, self.schema)

    def open(self):
        return open_postgres(self.url, self.schema)

    def reader(self):
        return PostgresDatabase(self.url, self.schema, writes=False)

    @staticmethod
    def dicts(db, sql):
        return [dict(row.items()) for row in db.execute(sql)]

    @staticmethod
    def names(db):
        return {
            row[0]
            for row in db.execute(
                "SELECT relname::text FROM pg_class WHERE relnamespace ="
                " to_regnamespace(current_schema()::text)"
            )
        }
