# SPDX-License-Identifier: AGPL-3.0-only
"""What SQLite writes differently from other databases: see `Dialect`."""

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence

from queuedeck.history.sql.database import Database, Dialect, Range
from queuedeck.history.sql.identity import Ext, pack
from queuedeck.history.sqlite import upkeep

# States are stored by their number in `names.STATE_NUMBERS`: open ones are 0 to 3, 4 is succeeded,
# which most tasks are: it has no index. (Two partial ones, `< 4` and `> 4`, made SQLite sort.)
# Payloads are apart from the head rows, and calls from outcomes: calls come in the order of the ids
# and fill their pages, outcomes do not. Both are kept under `packed.payload_id`.
_DAY_TABLES = """
CREATE TABLE task_{day} (
  n INTEGER PRIMARY KEY, key INTEGER NOT NULL, ext ANY NOT NULL, project INTEGER NOT NULL,
  source INTEGER NOT NULL, generation INTEGER NOT NULL, flags INTEGER NOT NULL,
  state INTEGER NOT NULL, name INTEGER NOT NULL, queue INTEGER NOT NULL, worker INTEGER NOT NULL,
  attempt INTEGER NOT NULL, exception INTEGER NOT NULL, failure INTEGER NOT NULL DEFAULT 0,
  seen_us INTEGER NOT NULL, running_us INTEGER, wait_us INTEGER, run_us INTEGER,
  facts BLOB NOT NULL, label TEXT NOT NULL DEFAULT '', mark INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX task_{day}_key ON task_{day} (key);
CREATE INDEX task_{day}_project ON task_{day} (project);
CREATE INDEX task_{day}_name ON task_{day} (name);
CREATE INDEX task_{day}_state ON task_{day} (project, state) WHERE state <> 4;
CREATE INDEX task_{day}_failure ON task_{day} (failure) WHERE failure > 0;
CREATE INDEX task_{day}_label ON task_{day} (project, label) WHERE label <> '';
CREATE INDEX task_{day}_mark ON task_{day} (project) WHERE mark > 0;
CREATE TABLE call_{day} (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE outcome_{day} (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE spare_{day} (
  n INTEGER NOT NULL, fact BLOB NOT NULL, PRIMARY KEY (n, fact)) STRICT, WITHOUT ROWID;
CREATE TABLE minute_{day} (
  minute INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL) STRICT
"""
"""`spare` has the facts that only the timeline shows: a second start of one attempt, an outcome
that contradicts. `minute` says which `n` the tasks first seen in a minute have."""

_EXTRA_TABLES = """
CREATE TABLE IF NOT EXISTS progress_{day} (
  n INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, at_us INTEGER NOT NULL,
  data BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tag_{day} (
  project INTEGER NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (project, value, n)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tag_{day}_n ON tag_{day} (n);
CREATE TABLE IF NOT EXISTS trace_{day} (
  project INTEGER NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL, attempt INTEGER NOT NULL,
  span TEXT NOT NULL, PRIMARY KEY (n, attempt)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS trace_{day}_value ON trace_{day} (project, value, n);
CREATE TABLE IF NOT EXISTS log_{day} (
  n INTEGER NOT NULL, attempt INTEGER NOT NULL, at_us INTEGER NOT NULL, first INTEGER NOT NULL,
  left_out INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS log_{day}_n ON log_{day} (n);
CREATE TABLE IF NOT EXISTS log_use_{day} (
  n INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, left_out INTEGER NOT NULL) STRICT
"""
_DAY_STEPS = {
    3: """
ALTER TABLE task_{day} ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE task_{day} ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_{day}_label ON task_{day} (project, label) WHERE label <> '';
CREATE INDEX task_{day}_mark ON task_{day} (project) WHERE mark > 0
""",
}

_WORDS = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS words_{day} USING"
    " fts5(document, content='', detail=none, columnsize=0, tokenize='ascii')"
)


class SqliteDialect(Dialect):
    BEGIN = "BEGIN IMMEDIATE"
    BEGIN_READING = "BEGIN"
    NUMBERS = "json_each(?) AS j"
    TEXTS = NUMBERS
    AMONG_TEXTS = "IN (SELECT value FROM json_each(?))"
    GLOB = "GLOB ?"
    UUID_BEGINS = "typeof(t.ext) = 'blob' AND lower(substr(hex(t.ext), 1, ?)) = ?"
    TEXT_BEGINS = "typeof(t.ext) = 'text' AND substr(t.ext, 1, ?) = ?"
    SORTED_N = "t.n"
    OF_PROJECT = "project"
    OF_SOURCE = "source"
    ROLLED_AT = "at"
    WORDS_N = "w.rowid"

    def listed(self, values: Iterable[int] | Iterable[str]) -> str:
        return json.dumps(list(values))

    def range_of(
        self, columns: Sequence[str], values: Sequence[object], n: str, low: int, high: int
    ) -> Range:
        same = "".join(f"{one} = ? AND " for one in columns)
        return Range(f"{same}{n} >= ? AND {n} < ?", (*values, low, high), n, f"{n} DESC")

    def glob(self, pattern: str) -> str:
        """GLOB knows `?` and `[` too."""
        return re.sub(r"([?\[])", r"[\1]", pattern)

    def match(self, words: Sequence[str]) -> str:
        *whole, last = words
        return " AND ".join([*(f'"{word}"' for word in whole), f'"{last}"*'])

    def words(self, db: Database, day: int, match: str) -> tuple[str, str]:
        return f"words_{day}", f"words_{day} MATCH ?"

    def day_tables(self, day: int) -> list[str]:
        return _DAY_TABLES.format(day=day).split(";")

    def extra_tables(self, day: int) -> list[str]:
        return _EXTRA_TABLES.format(day=day).split(";")

    def has_table(self, db: Database, table: str) -> bool:
        return upkeep.has_table(db, table)

    def day_step(self, day: int, layout: int) -> list[str]:
        return _DAY_STEPS[layout].format(day=day).split(";")

    def make_words(self, db: Database, day: int) -> None:
        db.execute(_WORDS.format(day=day))

    def add_words(self, db: Database, day: int, documents: Sequence[tuple[int, str]]) -> None:
        db.executemany(f"INSERT INTO words_{day} (rowid, document) VALUES (?, ?)", documents)  # noqa: S608

    def pack_id(self, task_id: str) -> tuple[int, Ext]:
        return pack(task_id)

    def drop_piece(self, db: Database, day: int) -> bool:
        return upkeep.drop_piece(db, day)

    def used_bytes(self, db: Database) -> int:
        return upkeep.used_bytes(db)

    def give_back(self, db: Database) -> bool:
        return upkeep.give_back(db)

    def rest(self, db: Database) -> None:
        upkeep.checkpoint(db)


class SqliteDatabase(sqlite3.Connection):
    """A connection to one file."""

    dialect: Dialect = SqliteDialect()
