# SPDX-License-Identifier: AGPL-3.0-only
"""How to find what a `TaskFilter` asks for.

A stream is an index range that SQLite walks in the order of the list, newest first, without
sorting; several are merged. Conditions then drop rows of the streams, and `deep` those whose facts
or payloads do not fit, within a budget.
"""

from collections.abc import Iterable, Sequence

import msgspec

from queuedeck.history.facts import Word
from queuedeck.history.filters import TaskFilter
from queuedeck.history.matching import Needle, needle_of
from queuedeck.history.ranges import Between
from queuedeck.history.sql.clauses import (
    Clause,
    Ordered,
    Refs,
    any_of,
    either,
    labelled,
    measured,
    ordered,
    resolved,
    rooted,
    unwanted,
    wanted,
)
from queuedeck.history.sql.database import Database, Dialect
from queuedeck.history.sql.deep import Deep, make_deep
from queuedeck.history.sql.fulltext import Indexed, read_indexed
from queuedeck.history.sql.identity import key_range, older_key
from queuedeck.history.sql.marks import Marks, MarkStream, marks_in
from queuedeck.history.sql.marks import conditions as mark_conditions
from queuedeck.history.sql.marks import streams as mark_streams
from queuedeck.history.sql.names import STATE_NUMBERS
from queuedeck.history.sql.rows import SourceRow
from queuedeck.history.tasks import TaskState

MOST_STREAMS = 30
"""More names than this are cheaper found by walking the project."""


class Stream(msgspec.Struct, frozen=True):
    """An index of a day's tasks (by the end of its name): its rows with these values, in the order
    of `n`; `only` repeats the condition of a partial index, and all values that come with it. And a
    condition that only this stream needs.
    """

    index: str
    columns: tuple[str, ...] = ()
    values: tuple[object, ...] = ()
    only: Clause | None = None
    also: Clause | None = None
    above: int = 0
    """Only rows with a greater `n`."""

    def rows_of(self, db: Database, day: int, below: int, floor: int) -> Ordered:
        """Its rows in one day, from `floor`, below another `n`."""
        low = max(floor, self.above + 1)
        span = db.dialect.range_of(self.columns, self.values, "t.n", low, below)
        sql, values = span.condition, span.values
        for more in (self.only, self.also):
            if more is not None:
                sql, values = f"{sql} AND {more.sql}", (*values, *more.values)
        rows = Clause(f"task_{day} AS t INDEXED BY task_{day}_{self.index} WHERE {sql}", values)
        return Ordered(rows, "t.n", span.newest_first)


class KeyStream(msgspec.Struct, frozen=True):
    """The tasks with keys in a range: few, and sorted."""

    low: int
    high: int
    also: Clause

    def rows_of(self, db: Database, day: int, below: int, floor: int) -> Ordered:
        rows = Clause(
            f"task_{day} AS t INDEXED BY task_{day}_key WHERE t.key BETWEEN ? AND ?"
            f" AND {self.also.sql}",
            (self.low, self.high, *self.also.values),
        )
        return ordered(rows, db.dialect.SORTED_N, below, floor)


class WordStream(msgspec.Struct, frozen=True):
    """The tasks of one project in whose documents a needle's words are."""

    project_id: int
    match: str
    documents: str
    condition: str
    n: str
    """The documents that match, as the database finds them: see `Dialect.words`."""

    def rows_of(self, _db: Database, day: int, below: int, floor: int) -> Ordered:
        # The plus, as below: before Postgres has counted the tasks it would walk the project's.
        sql = (
            f"{self.documents} AS w CROSS JOIN task_{day} AS t ON t.n = {self.n}"
            f" WHERE {self.condition} AND +t.project = ?"
        )
        return ordered(Clause(sql, (self.match, self.project_id)), self.n, below, floor)


class WaitStream(msgspec.Struct, frozen=True):
    """The tasks of one project that the index of words passed over, because they had not ended."""

    project_id: int

    def rows_of(self, db: Database, day: int, below: int, floor: int) -> Ordered:
        span = db.dialect.range_of(("w.day",), (day,), "w.n", floor, below)
        sql = (
            f"word_wait AS w CROSS JOIN task_{day} AS t ON t.n = w.n"
            f" WHERE {span.condition} AND +t.project = ?"
        )
        return Ordered(Clause(sql, (*span.values, self.project_id)), "w.n", span.newest_first)


AnyStream = Stream | KeyStream | WordStream | WaitStream | MarkStream


class Search(msgspec.Struct, frozen=True, kw_only=True):
    project_id: int
    streams: Sequence[Stream | KeyStream]
    """With no needle and none of these, nothing can match."""
    conditions: list[Clause]
    times: list[Between]
    """When tasks were first seen: days and parts of days outside are not walked."""
    deep: Deep | None
    needle: Needle | None
    """What is looked for in documents, by the index of words as far as that reaches."""
    marks: list[Marks]
    """Tags and traces that are asked for."""
    driver: Marks | None
    """Those of them by which tasks are found, where a day has few of their values."""

    @property
    def keys(self) -> list[object] | None:
        """Of all tasks that can match, if they are looked for by nothing else."""
        found: list[object] = []
        for stream in self.streams:
            if not isinstance(stream, Stream) or stream.index != "key":
                return None
            found += stream.values
        return found if self.needle is None and self.driver is None else None

    def conditions_of(self, db: Database, day: int) -> list[Clause]:
        """The conditions on the tasks of one day."""
        if not self.marks:
            return self.conditions
        return [*self.conditions, *mark_conditions(db, day, self.marks)]

    def streams_of(self, db: Database, day: int) -> list[AnyStream]:
        """The streams of one day. What the index of words does not have yet is walked."""
        if self.driver is not None:
            marked = mark_streams(db, self.project_id, day, self.driver)
            if marked is not None:
                return [*marked]
        if self.needle is None:
            return [*self.streams]
        indexed = read_indexed(db, day)
        found: list[AnyStream] = [*self.streams, *self._unindexed(indexed)]
        if indexed.has_words:
            match = db.dialect.match(self.needle.words)
            documents = db.dialect.words(db, day, match)
            found.append(WordStream(self.project_id, match, *documents, db.dialect.WORDS_N))
        return found

    def _unindexed(self, indexed: Indexed) -> list[AnyStream]:
        tail = Stream("project", ("t.project",), (self.project_id,), above=indexed.upto)
        found: list[AnyStream] = [tail]
        if indexed.has_waiting:
            found.append(WaitStream(self.project_id))
        return found


def plan(
    db: Database,
    project_id: int,
    question: TaskFilter,
    sources: dict[int, SourceRow],
    now_us: int,
) -> Search:
    """How to find what a question asks for."""
    refs = Refs(db, project_id)
    conditions = wanted(refs, question, sources)
    needle = _needle(question)
    is_possible = conditions is not None
    marks = marks_in(question)
    by_id = question.ids or _driver(question)
    driver = next((one for one in marks if one.wanted and not by_id), None)
    return Search(
        project_id=project_id,
        streams=_streams(refs, project_id, question, needle, sources) if is_possible else [],
        conditions=[
            *(conditions or []),
            *rooted(db.dialect, question.roots),
            *unwanted(refs, question, sources),
            *labelled(db.dialect, question),
            *measured(db.dialect, question, now_us),
        ],
        times=resolved(question, now_us),
        deep=make_deep(db, refs, question),
        needle=needle if is_possible else None,
        marks=marks,
        driver=driver if is_possible else None,
    )


def _driver(question: TaskFilter) -> str:
    """The text by which tasks are found; the others are only compared."""
    texts = [text for text in question.texts if not needle_of(text).is_inside]
    return max(texts, key=len, default="")


def _needle(question: TaskFilter) -> Needle | None:
    """What the index of words can look for: nothing, when an id says more."""
    if question.ids or question.roots:
        return None
    texts = [_driver(question)]
    if not texts[0]:
        texts = [
            term.values[0]
            for term in question.paths
            if term.part == "args" and not term.is_negated and len(term.values) == 1
            if "*" not in term.values[0] and term.values[0] != "null"
        ]
    needles = [needle for text in texts if (needle := needle_of(text)).words]
    return max(needles, key=lambda needle: len("".join(needle.words)), default=None)


def _streams(
    refs: Refs,
    project_id: int,
    question: TaskFilter,
    needle: Needle | None,
    sources: dict[int, SourceRow],
) -> Sequence[Stream | KeyStream]:
    """The narrowest way in. Each stream holds all that matches, together with its fellows."""
    if question.ids:
        return _id_streams(refs.dialect, project_id, question.ids)
    if text := _driver(question):
        return _text_streams(refs, project_id, text, sources)
    if needle is not None:
        return []
    groups = refs.groups(question.groups)
    if groups and len(groups) <= MOST_STREAMS:
        return [_failure_stream(group) for group in groups]
    if 0 < len(question.labels) <= MOST_STREAMS and not any("*" in one for one in question.labels):
        return [_label_stream(project_id, label) for label in dict.fromkeys(question.labels)]
    if question.marked == ("yes",):
        return [Stream("mark", ("t.project",), (project_id,), Clause("t.mark > 0"))]
    names = refs.matching(Word.NAME, question.names)
    if names and len(names) <= MOST_STREAMS:
        return [_name_stream(name) for name in names]
    if question.states and TaskState.SUCCEEDED not in question.states:
        return [_state_stream(project_id, STATE_NUMBERS[state]) for state in question.states]
    if question.errors and not question.states:
        return [
            _state_stream(project_id, number)
            for state, number in STATE_NUMBERS.items()
            if state is not TaskState.SUCCEEDED  # What went well in the end has no error.
        ]
    return [_project_stream(project_id)]


def _id_streams(dialect: Dialect, project_id: int, ids: Iterable[str]) -> list[Stream]:
    streams: list[Stream] = []
    for task_id in ids:
        key, ext = dialect.pack_id(task_id)
        # The plus keeps Postgres from the index of the project, before it has counted the keys.
        mine = Clause("+t.project = ? AND t.ext = ?", (project_id, ext))
        streams += [Stream("key", ("t.key",), (one,), also=mine) for one in (key, older_key(key))]
    return streams


def _text_streams(
    refs: Refs, project_id: int, text: str, sources: dict[int, SourceRow]
) -> list[Stream | KeyStream]:
    """Part of a name, or the beginning of an id: of a UUID from four digits on, of others any."""
    names = refs.containing(Word.NAME, text)
    uuid = _uuid_begins(refs.dialect, project_id, text)
    keys = key_range(text.lower())
    other = _text_begins(refs.dialect, project_id, text)
    has_text_ids = any(source.text_ids for source in sources.values())
    if len(names) > MOST_STREAMS:
        ways = [any_of("t.name", names), other, *([uuid] if keys else [])]
        return [_project_stream(project_id, either(ways))]
    streams: list[Stream | KeyStream] = [_name_stream(name) for name in names]
    if keys is not None:
        low, high = keys
        for bounds in ((low, high), (older_key(high), older_key(low))):
            streams.append(KeyStream(*bounds, uuid))
    if has_text_ids:
        streams.append(_project_stream(project_id, other))
    return streams


def _uuid_begins(dialect: Dialect, project_id: int, text: str) -> Clause:
    """Keys hold the first 63 bits of a UUID: the rest of a longer beginning is compared here."""
    digits = text.replace("-", "").lower()
    return Clause(f"+t.project = ? AND {dialect.UUID_BEGINS}", (project_id, len(digits), digits))


def _text_begins(dialect: Dialect, project_id: int, text: str) -> Clause:
    return Clause(f"t.project = ? AND {dialect.TEXT_BEGINS}", (project_id, len(text), text))


def _project_stream(project_id: int, also: Clause | None = None) -> Stream:
    return Stream("project", ("t.project",), (project_id,), also=also)


def _name_stream(name: int) -> Stream:
    return Stream("name", ("t.name",), (name,))


def _failure_stream(group: int) -> Stream:
    return Stream("failure", ("t.failure",), (group,), Clause("t.failure > 0"))


def _label_stream(project_id: int, label: str) -> Stream:
    same = "t.project = ? AND t.label = ? AND t.label <> ''"
    return Stream("label", only=Clause(same, (project_id, label)))


def _state_stream(project_id: int, state: int) -> Stream:
    same = "t.project = ? AND t.state = ? AND t.state <> 4"
    return Stream("state", only=Clause(same, (project_id, state)))
