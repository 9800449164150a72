# SPDX-License-Identifier: AGPL-3.0-only
"""What the code of the history asks of a database, and what differs between databases.

The SQL of this folder is written once: `?` stands for values, and whatever both databases
understand is written as it is. `INDEXED BY` and the order of a `CROSS JOIN ... ON` are hints for
SQLite's planner, which Postgres is not told. All else that differs is in `Dialect`.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from queuedeck.history.sql.identity import Ext


class Rows(Protocol):
    """What a statement answered."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """One connection, used by one thread at a time. `sqlite3.Connection` is nearly one."""

    @property
    def dialect(self) -> "Dialect": ...
    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Rows: ...
    def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> object:
        """Run a statement for each row: no two rows may change the same row of a table. It begins
        with INSERT, UPDATE or DELETE and needs a number of round trips that rows do not raise.
        """
        ...

    def close(self) -> None: ...


class Range(NamedTuple):
    """A range of an index."""

    condition: str
    values: tuple[object, ...]
    oldest_first: str
    """Behind ORDER BY: as the index has it."""
    newest_first: str


class Dialect(Protocol):
    """The pieces of SQL that differ, and the work that is done otherwise."""

    BEGIN: str
    """Begins a transaction that writes."""
    BEGIN_READING: str
    """Begins a transaction that sees one moment."""
    NUMBERS: str
    """Behind FROM: the numbers of a `listed` value, as `j.value`."""
    TEXTS: str
    """The same for texts."""
    AMONG_TEXTS: str
    """Behind a column: whether it is one of the texts of a `listed` value."""
    GLOB: str
    """Behind a column: whether it fits a pattern, of `glob`."""
    UUID_BEGINS: str
    """Whether `t.ext` is a UUID whose digits begin so; takes how many, and the digits."""
    TEXT_BEGINS: str
    """Whether `t.ext` is another id that begins so; takes how many characters, and them."""
    SORTED_N: str
    """`t.n` of a stream that is found by another index and then sorted: Postgres is kept from
    walking all of the day in the order of `n` instead.
    """
    OF_PROJECT: str
    """The project of a row, by an index that only this name finds: those of rollups by time, and of
    retries by the old task. Before tables have grown their indexes look alike to Postgres, and its
    choice stays: so questions are put in a way that leaves none.
    """
    OF_SOURCE: str
    """The same for the source of a retry."""
    ROLLED_AT: str
    """The time of a rollup's row in a question about all that was counted in a project then."""
    WORDS_N: str
    """The column of the documents `w` that has the `n` of a task."""

    def listed(self, values: Iterable[int] | Iterable[str]) -> object: ...
    def range_of(
        self, columns: Sequence[str], values: Sequence[object], n: str, low: int, high: int
    ) -> Range:
        """The rows with these values in the order of `n`, from `low`, before `high`, by the index
        of these columns and `n`. Postgres is told so that it has no other way: it would walk all of
        a day in the order of `n` where it takes a value for a common one.
        """
        ...

    def glob(self, pattern: str) -> str:
        """A pattern in which only `*` is special."""
        ...

    def pack_id(self, task_id: str) -> tuple[int, Ext]:
        """(key, id as stored) of an engine's id."""
        ...

    def day_tables(self, day: int) -> list[str]:
        """The statements that make the tables of a day."""
        ...

    def extra_tables(self, day: int) -> list[str]:
        """The statements that make the tables of a day's extras, where there are none."""
        ...

    def has_table(self, db: Database, table: str) -> bool: ...

    def day_step(self, day: int, layout: int) -> list[str]:
        """The statements that bring the tables of a day to a layout from the one before it."""
        ...

    def make_words(self, db: Database, day: int) -> None:
        """Make the table of words of a day, unless there is one."""
        ...

    def add_words(self, db: Database, day: int, documents: Sequence[tuple[int, str]]) -> None: ...
    def match(self, words: Sequence[str]) -> str:
        """All of these, of which the last may only begin so."""
        ...

    def words(self, db: Database, day: int, match: str) -> tuple[str, str]:
        """(what is named `w` behind FROM, condition): the documents of a day that match. Together
        they take the match, once.
        """
        ...

    def drop_piece(self, db: Database, day: int) -> bool:
        """Take away a piece of a day that nobody reads any more: milliseconds. Says whether there
        was one.
        """
        ...

    def used_bytes(self, db: Database) -> int:
        """What the history takes on disk."""
        ...

    def give_back(self, db: Database) -> bool:
        """Give back some space of gone days, outside a transaction. Says whether it did."""
        ...

    def rest(self, db: Database) -> None:
        """There is time for what is better done when nothing comes in."""
        ...


@contextmanager
def reading(db: Database) -> Generator[None]:
    """All that is read inside is of one moment."""
    db.execute(db.dialect.BEGIN_READING)
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("COMMIT")
