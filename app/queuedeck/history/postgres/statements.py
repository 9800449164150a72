# SPDX-License-Identifier: AGPL-3.0-only
"""The statements of `sql/` as Postgres takes them. Pure."""

import re
from collections.abc import Callable, Sequence

_INDEXED_BY = re.compile(r" INDEXED BY \w+")


def translate(sql: str) -> str:
    """Values are numbered; what SQLite's planner is told is left out."""
    sql = _INDEXED_BY.sub("", sql).replace("CROSS JOIN", "JOIN")
    return _fill(sql, lambda number: f"${number}")


def from_arrays(sql: str, types: Sequence[str]) -> str:
    """A statement for one row as one for all rows of as many arrays, each a column of values."""
    columns = ", ".join(f"c{number}" for number in range(1, len(types) + 1))
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    return _from(sql, f"unnest({arrays}) AS v ({columns})")


def from_table(sql: str, table: str) -> str:
    """The same for the rows of a table with the columns c1, c2 and so on."""
    return _from(sql, f"{table} AS v")


def _from(sql: str, rows: str) -> str:
    head, where, condition = sql.rpartition(" WHERE ")
    match sql.partition(" ")[0]:
        case "INSERT":
            head, conflict, rest = sql.partition(" ON CONFLICT")
            into, _, values = head.partition(" VALUES (")
            text = f"{into} SELECT {values.removesuffix(')')} FROM {rows}{conflict}{rest}"  # noqa: S608
        case "UPDATE":
            text = f"{head} FROM {rows}{where}{condition}"
        case _:
            text = f"{head} USING {rows}{where}{condition}"
    return _fill(text, lambda number: f"v.c{number}")


def _fill(sql: str, name: Callable[[int], str]) -> str:
    first, *rest = sql.split("?")
    return first + "".join(f"{name(number)}{piece}" for number, piece in enumerate(rest, 1))
