# SPDX-License-Identifier: AGPL-3.0-only
"""Conditions on what no column has: facts, arguments, results and words. Rows are read in portions
and compared here, in Python.
"""

from collections.abc import Sequence

import msgspec

from queuedeck.history.facts import (
    SELF,
    AnyFact,
    Failed,
    Lost,
    Part,
    Published,
    Retrying,
    Started,
    Succeeded,
    Word,
)
from queuedeck.history.filters import PathTerm, TaskFilter
from queuedeck.history.matching import Needle, document_of, holds, needle_of
from queuedeck.history.sql.clauses import Refs
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.packed import NO_PARTS
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sql.rows import Head, Payloads, Words, call_fact, read_payloads
from queuedeck.history.states import Facts


class Found(Head):
    """A head with the columns that are counted; see `COUNTED`."""

    state: int = 0
    name: int = 0
    queue: int = 0
    worker: int = 0
    exception: int = 0
    seen_us: int = 0


COUNTED = ", t.state, t.name, t.queue, t.worker, t.exception, t.seen_us"


class _Text(msgspec.Struct, frozen=True):
    """A free text, and the names that have it."""

    text: str
    needle: Needle
    names: frozenset[int]
    is_negated: bool


class _Releases(msgspec.Struct, frozen=True):
    """References of releases; None: not asked for."""

    wanted: frozenset[int] | None
    unwanted: frozenset[int] | None


class _Task(msgspec.Struct):
    """What is known of one task while it is compared."""

    head: Found
    facts: Facts
    call: AnyFact | None
    ending: AnyFact | None
    document: str | None = None


class Deep:
    """Drops the rows that do not fit."""

    def __init__(
        self, db: Database, question: TaskFilter, texts: list[_Text], releases: _Releases
    ) -> None:
        self._db = db
        self._question = question
        self._texts = texts
        self._releases = releases
        self._words = Words()
        parts = {term.part for term in question.paths}
        self._reads_calls = bool(texts) or "args" in parts
        self._reads_results = "result" in parts

    def fitting(self, heads: Sequence[Found]) -> list[Found]:
        """Those that fit, in the same order. A fixed number of statements for any number."""
        tasks = [task for task in map(self._task, heads) if self._fit_facts(task)]
        payloads = read_payloads(
            self._db,
            [
                (task.head.id, fact)
                for task in tasks
                for fact in (task.call, task.ending)
                if fact is not None
            ],
        )
        if self._texts:
            self._words.read(self._db, {task.head.exception for task in tasks})
        return [
            task.head
            for task in tasks
            if all(self._has_path(task, term, payloads) for term in self._question.paths)
            and all(self._has_text(task, text, payloads) for text in self._texts)
        ]

    def _task(self, head: Found) -> _Task:
        facts = unpack_facts(head.facts)
        call = call_fact(facts, Part.ARGS) if self._reads_calls else None
        ending = _newest(facts, Succeeded) if self._reads_results else None
        return _Task(head, facts, call, ending)

    def _fit_facts(self, task: _Task) -> bool:
        asked = self._question
        if asked.roots and not _root_of(task) & set(asked.roots):
            return False
        if asked.not_roots and _root_of(task) & set(asked.not_roots):
            return False
        if self._releases.wanted is None and self._releases.unwanted is None:
            return True
        started = _newest(task.facts, Started)
        release = started.release if isinstance(started, Started) else 0
        if self._releases.wanted is not None and release not in self._releases.wanted:
            return False
        return self._releases.unwanted is None or release not in self._releases.unwanted

    def _has_path(self, task: _Task, term: PathTerm, payloads: Payloads) -> bool:
        fact = task.call if term.part == "args" else task.ending
        data = b"" if fact is None else payloads.get((task.head.id, fact), NO_PARTS)[0]
        if not data and isinstance(fact, Succeeded):
            data = fact.result
        return holds(term, data) is not term.is_negated

    def _has_text(self, task: _Task, text: _Text, payloads: Payloads) -> bool:
        found = (
            task.head.name in text.names
            or task.head.task_id.startswith((text.text, text.text.lower()))
            or text.needle.is_in(self._document(task, payloads))
        )
        return found is not text.is_negated

    def _document(self, task: _Task, payloads: Payloads) -> str:
        if task.document is None:
            known = self._words.read(self._db, ())
            task.document = make_document(
                task.facts, task.call, payloads, task.head.id, known[task.head.exception]
            )
        return task.document


def make_deep(db: Database, refs: Refs, question: TaskFilter) -> Deep | None:
    """None when columns say all that is asked for."""
    if not (
        question.roots
        or question.not_roots
        or question.releases
        or question.not_releases
        or question.paths
        or question.texts
        or question.not_texts
    ):
        return None
    texts = [
        _Text(text, needle_of(text), frozenset(refs.containing(Word.NAME, text)), is_negated)
        for some, is_negated in ((question.texts, False), (question.not_texts, True))
        for text in some
    ]
    releases = _Releases(
        _release_refs(refs, question.releases), _release_refs(refs, question.not_releases)
    )
    return Deep(db, question, texts, releases)


def make_document(
    facts: Facts, call: AnyFact | None, payloads: Payloads, task: int, exception: str
) -> str:
    """The words of a task: its arguments, and the type and message of its newest error."""
    args = b"" if call is None else payloads.get((task, call), NO_PARTS)[0]
    if not exception:
        return document_of(args)
    return document_of(args, exception, *_messages(facts))


def _messages(facts: Facts) -> list[str]:
    errors = [fact for fact in facts.values() if isinstance(fact, Failed | Retrying | Lost)]
    newest = max(errors, key=lambda fact: (fact.attempt, fact.kind_no), default=None)
    return [newest.message] if newest is not None else []


def _release_refs(refs: Refs, patterns: tuple[str, ...]) -> frozenset[int] | None:
    return frozenset(refs.matching(Word.RELEASE, patterns)) if patterns else None


def _root_of(task: _Task) -> set[str]:
    """The root that is told, and the task's own id: it may be the root of others."""
    roots = [fact.root for fact in task.facts.values() if isinstance(fact, Published | Started)]
    return {task.head.task_id if root == SELF else root for root in roots} | {task.head.task_id}


def _newest(facts: Facts, kind: type[AnyFact]) -> AnyFact | None:
    found = [fact for fact in facts.values() if isinstance(fact, kind)]
    return max(found, key=lambda fact: fact.attempt, default=None)
