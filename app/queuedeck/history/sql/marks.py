# SPDX-License-Identifier: AGPL-3.0-only
"""Tags and trace ids in a question. Both are in tables of each day that has any, with an index by
value and one by task: what is asked for exactly, or fits few values, is walked by its index;
anything else is a condition on the tasks that are walked otherwise.
"""

from collections.abc import Sequence

import msgspec

from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.clauses import Clause, Ordered, either, marks
from queuedeck.history.sql.database import Database

MOST_VALUES = 30
"""A pattern that fits more values than this is no way in, only a condition."""
_LAST = "\U0010ffff"
"""Sorts behind every value that begins the same."""


class Marks(msgspec.Struct, frozen=True):
    """What is asked of one kind of marks."""

    table: str
    """`tag` or `trace`."""
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


class MarkStream(msgspec.Struct, frozen=True):
    """The tasks of a day that have one value."""

    project_id: int
    table: str
    value: str

    def rows_of(self, db: Database, day: int, below: int, floor: int) -> Ordered:
        columns, values = ("x.project", "x.value"), (self.project_id, self.value)
        span = db.dialect.range_of(columns, values, "x.n", floor, below)
        sql = (
            f"{self.table}_{day} AS x CROSS JOIN task_{day} AS t ON t.n = x.n"
            f" WHERE {span.condition}"
        )
        return Ordered(Clause(sql, span.values), "x.n", span.newest_first)


def marks_in(question: TaskFilter) -> list[Marks]:
    """Those that are asked for, a trace first: few tasks have the same one."""
    found = [
        Marks("trace", question.traces, question.not_traces),
        Marks("tag", question.tags, question.not_tags),
    ]
    return [one for one in found if one.wanted or one.unwanted]


def streams(
    db: Database, project_id: int, day: int, asked: Marks, limit: int = MOST_VALUES
) -> list[MarkStream] | None:
    """The ways in to a day by what is wanted; None when these would be too many, or no values can
    be found by their beginning."""
    if not db.dialect.has_table(db, f"{asked.table}_{day}"):
        return []
    values: set[str] = set()
    for pattern in asked.wanted:
        begins, star, rest = pattern.partition("*")
        if star and (rest or not begins):
            return None
        place = (project_id, day, asked.table)
        values.update(_beginning(db, place, begins, limit + 1) if star else [begins])
        if len(values) > limit:
            return None
    return [MarkStream(project_id, asked.table, value) for value in sorted(values)]


def conditions(db: Database, day: int, asked: Sequence[Marks]) -> list[Clause]:
    """What tasks of a day must fulfil. In a day without a table no task has any mark."""
    found: list[Clause] = []
    for one in asked:
        if not db.dialect.has_table(db, f"{one.table}_{day}"):
            found += [Clause("1 = 0")] if one.wanted else []
            continue
        for patterns, word in ((one.wanted, "EXISTS"), (one.unwanted, "NOT EXISTS")):
            if patterns:
                fits = _fits(db, patterns)
                sql = f"SELECT 1 FROM {one.table}_{day} AS x WHERE x.n = t.n AND {fits.sql}"  # noqa: S608
                found.append(Clause(f"{word} ({sql})", fits.values))
    return found


def _fits(db: Database, patterns: Sequence[str]) -> Clause:
    exact = [pattern for pattern in patterns if "*" not in pattern]
    ways = [Clause(f"x.value IN ({marks(exact)})", tuple(exact))] if exact else []
    ways += [
        Clause(f"x.value {db.dialect.GLOB}", (db.dialect.glob(pattern),))
        for pattern in patterns
        if "*" in pattern
    ]
    return either(ways)


def _beginning(db: Database, place: tuple[int, int, str], begins: str, limit: int) -> list[str]:
    """The values of a project's day that begin so: each is found by one step in the index, and no
    more of them than the limit."""
    project_id, day, table = place
    found: list[str] = []
    after, sign = begins, ">="
    while len(found) < limit:
        value = db.execute(
            f"SELECT min(x.value) FROM {table}_{day} AS x WHERE x.project = ?"  # noqa: S608
            f" AND x.value {sign} ? AND x.value < ?",
            (project_id, after, begins + _LAST),
        ).fetchone()[0]
        if value is None:
            break
        found.append(value)
        after, sign = value, ">"
    return found
