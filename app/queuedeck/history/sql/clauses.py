# SPDX-License-Identifier: AGPL-3.0-only
"""The fields of a `TaskFilter` as conditions on the columns of a day's tasks."""

from collections.abc import Iterable, Sequence

import msgspec

from queuedeck.history.facts import Word
from queuedeck.history.filters import TaskFilter
from queuedeck.history.ranges import Between
from queuedeck.history.sql.database import Database, Dialect
from queuedeck.history.sql.names import STATE_NUMBERS
from queuedeck.history.sql.rows import SourceRow
from queuedeck.history.tasks import TaskState

_QUEUED = STATE_NUMBERS[TaskState.QUEUED]

# Tasks that still wait or run count with what they have waited and run so far.
_WAIT = f"CASE WHEN t.state = {_QUEUED} THEN ? - t.seen_us ELSE t.wait_us END"
_RUNTIME = "coalesce(? - t.running_us, t.run_us)"
_RETRIES = "max(t.attempt - 1, 0)"


_MARKED = {"yes": "t.mark > 0", "no": "t.mark = 0"}


class Clause(msgspec.Struct, frozen=True):
    """A piece of SQL with its values."""

    sql: str
    values: tuple[object, ...] = ()


class Ordered(msgspec.Struct, frozen=True):
    """FROM and WHERE of some rows of one day, `n` of each, and how they are put in order."""

    rows: Clause
    n: str
    newest_first: str


def ordered(rows: Clause, n: str, below: int, floor: int) -> Ordered:
    """Those of the rows whose `n` is from `floor`, below another."""
    bounds = f"{rows.sql} AND {n} < ? AND {n} >= ?"
    return Ordered(Clause(bounds, (*rows.values, below, floor)), n, f"{n} DESC")


class Refs:
    """Finds the references of a project's words."""

    def __init__(self, db: Database, project_id: int) -> None:
        self._db = db
        self._project_id = project_id
        self.dialect = db.dialect

    def matching(self, kind: Word, patterns: Sequence[str]) -> list[int]:
        """References of the words that equal, or with `*` fit, any of the patterns."""
        exact = [pattern for pattern in patterns if "*" not in pattern]
        found = self._select(kind, f"value IN ({marks(exact)})", exact) if exact else []
        for pattern in patterns:
            if "*" in pattern:
                found += self._select(
                    kind, f"value {self.dialect.GLOB}", [self.dialect.glob(pattern)]
                )
        return sorted(set(found))

    def errors(self, patterns: Sequence[str]) -> list[int]:
        """Exception types; one without a dot stands for the last part of any."""
        ends = [f"*.{pattern}" for pattern in patterns if "." not in pattern]
        return self.matching(Word.EXCEPTION, [*patterns, *ends])

    def groups(self, fingerprints: Sequence[str]) -> list[int]:
        """Failure groups with any of the fingerprints, which are hex."""
        if not fingerprints:
            return []
        rows = self._db.execute(
            f"SELECT g.id FROM {self.dialect.NUMBERS} CROSS JOIN failure_group AS g"  # noqa: S608
            " ON g.project = ? AND g.fingerprint = j.value",
            (self.dialect.listed([int(one, 16) for one in fingerprints]), self._project_id),
        )
        return sorted(row[0] for row in rows)

    def containing(self, kind: Word, text: str) -> list[int]:
        return self._select(kind, "instr(lower(value), lower(?)) > 0", [text])

    def _select(self, kind: Word, condition: str, values: Sequence[object]) -> list[int]:
        rows = self._db.execute(
            f"SELECT id FROM word WHERE project = ? AND kind = ? AND {condition}",  # noqa: S608
            (self._project_id, int(kind), *values),
        )
        return [row[0] for row in rows]


def wanted(refs: Refs, question: TaskFilter, sources: dict[int, SourceRow]) -> list[Clause] | None:
    """The conditions on words that must hold; None when a word is one that no task has."""
    # The plus keeps Postgres from the order of a name's or a group's own index: by `n` alone then,
    # which all tasks have.
    columns = {
        "+t.name": (question.names, refs.matching(Word.NAME, question.names)),
        "t.queue": (question.queues, refs.matching(Word.QUEUE, question.queues)),
        "t.worker": (question.workers, refs.matching(Word.WORKER, question.workers)),
        "t.exception": (question.errors, refs.errors(question.errors)),
        "+t.failure": (question.groups, refs.groups(question.groups)),
        "t.state": (question.states, [STATE_NUMBERS[state] for state in question.states]),
    }
    asked = [(column, found) for column, (values, found) in columns.items() if values]
    asked += [
        ("t.source", found)
        for values, found in (
            (question.engines, _of_engines(sources, question.engines)),
            (question.sources, _of_sources(sources, question.sources)),
        )
        if values
    ]
    if not all(found for _, found in asked):
        return None
    return [any_of(column, found) for column, found in asked]


def unwanted(refs: Refs, question: TaskFilter, sources: dict[int, SourceRow]) -> list[Clause]:
    """The conditions on words that must not hold."""
    columns = {
        "t.name": refs.matching(Word.NAME, question.not_names),
        "t.queue": refs.matching(Word.QUEUE, question.not_queues),
        "t.worker": refs.matching(Word.WORKER, question.not_workers),
        "t.exception": refs.errors(question.not_errors),
        "t.failure": refs.groups(question.not_groups),
        "t.state": [STATE_NUMBERS[state] for state in question.not_states],
        "t.source": _of_engines(sources, question.not_engines)
        + _of_sources(sources, question.not_sources),
    }
    found = [any_of(column, values, negated=True) for column, values in columns.items() if values]
    if question.not_ids:
        found.append(_ids(refs.dialect, question.not_ids, negated=True))
    return found


def measured(dialect: Dialect, question: TaskFilter, now_us: int) -> list[Clause]:
    """The conditions on durations, retries and times, and on ids."""
    pairs = (
        (_WAIT, (now_us,), question.waits, question.not_waits),
        (_RUNTIME, (now_us,), question.runtimes, question.not_runtimes),
        (_RETRIES, (), question.retries, question.not_retries),
        ("t.seen_us", (), resolved(question, now_us), [
            when.resolve(now_us) for when in question.not_times
        ]),
    )  # fmt: skip
    found: list[Clause] = []
    for sql, values, ranges, not_ranges in pairs:
        if ranges:
            found.append(_between(sql, values, ranges))
        if not_ranges:
            none = _between(sql, values, not_ranges)
            found.append(Clause(f"({none.sql}) IS NOT TRUE", none.values))
    if question.ids:
        found.append(_ids(dialect, question.ids))
    return found


def labelled(dialect: Dialect, question: TaskFilter) -> list[Clause]:
    """The conditions on labels and marks. A task without a label has none that could fit."""
    found: list[Clause] = []
    if question.labels:
        found.append(_labels(dialect, question.labels))
    if question.not_labels:
        none = _labels(dialect, question.not_labels)
        found.append(Clause(f"NOT ({none.sql})", none.values))
    wanted_marks = {_MARKED[word] for word in question.marked}
    unwanted_marks = {_MARKED[word] for word in question.not_marked}
    found += [either([Clause(sql) for sql in sorted(wanted_marks)])] if wanted_marks else []
    found += [Clause(f"NOT ({sql})") for sql in sorted(unwanted_marks)]
    return found


def _labels(dialect: Dialect, patterns: Sequence[str]) -> Clause:
    exact = [pattern for pattern in patterns if "*" not in pattern]
    ways = [any_of("t.label", exact)] if exact else []
    ways += [
        Clause(f"t.label {dialect.GLOB}", (dialect.glob(pattern),))
        for pattern in patterns
        if "*" in pattern
    ]
    found = either(ways)
    return Clause(f"t.label <> '' AND {found.sql}", found.values)


def rooted(dialect: Dialect, roots: Sequence[str]) -> list[Clause]:
    """Tasks whose facts have one of the ids, in whatever field, and those whose own id it is."""
    ways = [
        Clause("instr(t.facts, ?) > 0 OR t.ext = ?", (root.encode(), dialect.pack_id(root)[1]))
        for root in roots
    ]
    return [either(ways)] if ways else []


def resolved(question: TaskFilter, now_us: int) -> list[Between]:
    return [when.resolve(now_us) for when in question.times]


def any_of(column: str, values: Sequence[object], *, negated: bool = False) -> Clause:
    word = "NOT IN" if negated else "IN"
    return Clause(f"{column} {word} ({marks(values)})", tuple(values))


def either(clauses: Sequence[Clause]) -> Clause:
    sql = " OR ".join(f"({clause.sql})" for clause in clauses)
    return Clause(f"({sql})", tuple(value for clause in clauses for value in clause.values))


def marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _of_engines(sources: dict[int, SourceRow], engines: Sequence[str]) -> list[int]:
    return [one.id for one in sources.values() if one.engine in engines]


def _of_sources(sources: dict[int, SourceRow], named: Sequence[str]) -> list[int]:
    return [
        one.id for one in sources.values() if one.fingerprint in named or one.name in named
    ]  # fmt: skip


def _ids(dialect: Dialect, ids: Iterable[str], *, negated: bool = False) -> Clause:
    return any_of("t.ext", [dialect.pack_id(task_id)[1] for task_id in ids], negated=negated)


def _between(sql: str, values: tuple[object, ...], ranges: Sequence[Between]) -> Clause:
    clauses: list[Clause] = []
    for one in ranges:
        ends = [(">=", one.low), ("<=", one.high)]
        given = [(sign, end) for sign, end in ends if end is not None]
        text = " AND ".join(f"{sql} {sign} ?" for sign, _ in given)
        clauses.append(Clause(text, tuple(v for _, end in given for v in (*values, end))))
    return either(clauses)
