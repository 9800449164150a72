# SPDX-License-Identifier: AGPL-3.0-only
"""What Postgres writes differently from other databases: see `Dialect`."""

from collections.abc import Iterable, Sequence

from queuedeck.history.postgres import upkeep
from queuedeck.history.postgres.text import escape
from queuedeck.history.sql.database import Database, Dialect, Range
from queuedeck.history.sql.identity import Ext, pack

# Ids are kept as their text. Numbers that come from outside are bigint, those of ours integer. An
# index ends with `n`, so that it is walked in the order of the list.
_DAY_TABLES = """
DROP TABLE IF EXISTS {gone};
CREATE TABLE task_{day} (
  n BIGINT PRIMARY KEY, key BIGINT NOT NULL, seen_us BIGINT NOT NULL, running_us BIGINT,
  wait_us BIGINT, run_us BIGINT, generation BIGINT NOT NULL, attempt BIGINT NOT NULL,
  failure BIGINT NOT NULL DEFAULT 0, project INTEGER NOT NULL, source INTEGER NOT NULL,
  flags INTEGER NOT NULL, state INTEGER NOT NULL, name INTEGER NOT NULL, queue INTEGER NOT NULL,
  worker INTEGER NOT NULL, exception INTEGER NOT NULL, ext TEXT COLLATE "C" NOT NULL,
  facts BYTEA NOT NULL, label TEXT COLLATE "C" NOT NULL DEFAULT '',
  mark INTEGER NOT NULL DEFAULT 0);
CREATE INDEX task_{day}_key ON task_{day} (key, n);
CREATE INDEX task_{day}_project ON task_{day} (project, n);
CREATE INDEX task_{day}_name ON task_{day} (name, n);
CREATE INDEX task_{day}_state ON task_{day} (project, state, n) WHERE state <> 4;
CREATE INDEX task_{day}_failure ON task_{day} (failure, n) WHERE failure > 0;
CREATE INDEX task_{day}_label ON task_{day} (project, label, n) WHERE label <> '';
CREATE INDEX task_{day}_mark ON task_{day} (project, n) WHERE mark > 0;
CREATE TABLE call_{day} (id BIGINT PRIMARY KEY, data BYTEA NOT NULL);
CREATE TABLE outcome_{day} (id BIGINT PRIMARY KEY, data BYTEA NOT NULL);
ALTER TABLE call_{day} ALTER data SET STORAGE EXTERNAL;
ALTER TABLE outcome_{day} ALTER data SET STORAGE EXTERNAL;
CREATE TABLE spare_{day} (n BIGINT NOT NULL, fact BYTEA NOT NULL, PRIMARY KEY (n, fact));
CREATE TABLE minute_{day} (
  minute BIGINT PRIMARY KEY, low BIGINT NOT NULL, high BIGINT NOT NULL)
"""
_EXTRA_TABLES = """
CREATE TABLE IF NOT EXISTS progress_{day} (
  n BIGINT PRIMARY KEY, attempt BIGINT NOT NULL, at_us BIGINT NOT NULL, data BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS tag_{day} (
  project INTEGER NOT NULL, value TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL,
  PRIMARY KEY (project, value, n));
CREATE INDEX IF NOT EXISTS tag_{day}_n ON tag_{day} (n);
CREATE TABLE IF NOT EXISTS trace_{day} (
  project INTEGER NOT NULL, value TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL,
  attempt BIGINT NOT NULL, span TEXT NOT NULL, PRIMARY KEY (n, attempt));
CREATE INDEX IF NOT EXISTS trace_{day}_value ON trace_{day} (project, value, n);
CREATE TABLE IF NOT EXISTS log_{day} (
  n BIGINT NOT NULL, attempt BIGINT NOT NULL, at_us BIGINT NOT NULL, first BIGINT NOT NULL,
  left_out BIGINT NOT NULL, data BYTEA NOT NULL);
CREATE INDEX IF NOT EXISTS log_{day}_n ON log_{day} (n);
CREATE TABLE IF NOT EXISTS log_use_{day} (
  n BIGINT PRIMARY KEY, bytes BIGINT NOT NULL, left_out BIGINT NOT NULL)
"""
_DAY_STEPS = {
    3: """
ALTER TABLE task_{day} ADD COLUMN label TEXT COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_{day}_label ON task_{day} (project, label, n) WHERE label <> '';
CREATE INDEX task_{day}_mark ON task_{day} (project, n) WHERE mark > 0
""",
}
_WORDS = "CREATE TABLE words_{day} (n BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)"
_WORDS_INDEX = "CREATE INDEX words_{day}_words ON words_{day} USING gin (words)"
_WORD_CHARS = 500
"""A word of a tsvector has at most 2,046 bytes. What is found is compared anyway."""

SAMPLE = 1_000
"""So many of the newest documents say whether words are common."""
RARE = 12
"""One document of so many may have words that are rare: with a million documents, both ways then
take the same.
"""

_HEX = "[0-9a-f]"
_UUID = (
    rf"t.ext ~ '^({_HEX}{{{{32}}}}|{_HEX}{{{{8}}}}(-{_HEX}{{{{4}}}}){{{{3}}}}-{_HEX}{{{{12}}}})$'"
).format()


class PostgresDialect(Dialect):
    BEGIN = "BEGIN"
    BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    NUMBERS = "unnest(?::bigint[]) AS j (value)"
    TEXTS = "unnest(?::text[]) AS j (value)"
    AMONG_TEXTS = "= ANY(?::text[])"
    GLOB = "LIKE ?"
    UUID_BEGINS = f"{_UUID} AND left(replace(t.ext, '-', ''), ?) = ?"
    TEXT_BEGINS = f"NOT {_UUID} AND left(t.ext, ?) = ?"
    SORTED_N = "(t.n + 0)"
    OF_PROJECT = "(project + 0)"
    OF_SOURCE = "(source || '')"
    ROLLED_AT = "(at + 0)"
    WORDS_N = "w.n"

    def listed(self, values: Iterable[int] | Iterable[str]) -> list[int] | list[str]:
        return [escape(one) if isinstance(one, str) else one for one in values]  # pyright: ignore[reportReturnType]

    def range_of(
        self, columns: Sequence[str], values: Sequence[object], n: str, low: int, high: int
    ) -> Range:
        """Rows are compared as a whole: with `column = ?` the order of `n` alone would do."""
        all_of = (*columns, n)
        row, marks = ", ".join(all_of), ", ".join("?" * len(all_of))
        return Range(
            f"({row}) >= ({marks}) AND ({row}) < ({marks})",
            (*values, low, *values, high),
            row,
            ", ".join(f"{one} DESC" for one in all_of),
        )

    def glob(self, pattern: str) -> str:
        for special in "\\%_":
            pattern = pattern.replace(special, f"\\{special}")
        return pattern.replace("*", "%")

    def match(self, words: Sequence[str]) -> str:
        *whole, last = [word[:_WORD_CHARS] for word in words]
        return " & ".join([*(f"'{word}'" for word in whole), f"'{last}':*"])

    def pack_id(self, task_id: str) -> tuple[int, Ext]:
        return pack(task_id)[0], task_id

    def words(self, db: Database, day: int, match: str) -> tuple[str, str]:
        """The index finds what is rare, and then sorts it; what is common is met soon by walking
        the documents. The planner guesses wrong which is which, so neither way is left to it.
        """
        is_common = self._is_common(db, day, match)
        # A bitmap has no order: what is common would all be read and then sorted.
        db.execute(f"SET LOCAL enable_bitmapscan = {'off' if is_common else 'on'}")
        if is_common:
            return f"words_{day}", "(w.words @@ ?::text::tsquery) IS TRUE"
        some = f"SELECT n FROM words_{day} WHERE words @@ ?::text::tsquery OFFSET 0"  # noqa: S608
        return f"({some})", "TRUE"

    def _is_common(self, db: Database, day: int, match: str) -> bool:
        newest = f"SELECT words FROM words_{day} ORDER BY n DESC LIMIT {SAMPLE}"  # noqa: S608
        found: int = db.execute(
            f"SELECT count(*) FROM ({newest}) AS w WHERE w.words @@ ?::text::tsquery",  # noqa: S608
            (match,),
        ).fetchone()[0]
        return found * RARE > SAMPLE

    def day_tables(self, day: int) -> list[str]:
        gone = ", ".join(f"{name}_{day}" for name in upkeep.DAY_TABLES)
        return _DAY_TABLES.format(day=day, gone=gone).split(";")

    def extra_tables(self, day: int) -> list[str]:
        return _EXTRA_TABLES.format(day=day).split(";")

    def has_table(self, db: Database, table: str) -> bool:
        return upkeep.has_table(db, table)

    def day_step(self, day: int, layout: int) -> list[str]:
        return _DAY_STEPS[layout].format(day=day).split(";")

    def make_words(self, db: Database, day: int) -> None:
        if not upkeep.has_table(db, f"words_{day}"):
            db.execute(_WORDS.format(day=day))
            db.execute(_WORDS_INDEX.format(day=day))

    def add_words(self, db: Database, day: int, documents: Sequence[tuple[int, str]]) -> None:
        db.executemany(
            f"INSERT INTO words_{day} (n, words)"  # noqa: S608
            " VALUES (?, array_to_tsvector(string_to_array(?::text, ' ')))",
            [(n, " ".join({w[:_WORD_CHARS] for w in text.split()})) for n, text in documents],
        )

    def drop_piece(self, db: Database, day: int) -> bool:
        return upkeep.drop_piece(db, day)

    def used_bytes(self, db: Database) -> int:
        return upkeep.used_bytes(db)

    def give_back(self, db: Database) -> bool:
        return upkeep.drop_table(db)

    def rest(self, db: Database) -> None:
        """The server writes its log back by itself."""
