# SPDX-License-Identifier: AGPL-3.0-only
"""One task with all that is known of it, and the small reads about single tasks."""

from collections.abc import Iterable
from typing import TypeVar

from queuedeck.history.facts import (
    SELF,
    AnyFact,
    Cancelled,
    Checked,
    Failed,
    Kind,
    Lost,
    Part,
    Published,
    Retrying,
    Started,
    Succeeded,
)
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.days import has_day, read_days_of, split
from queuedeck.history.sql.identity import older_key, unpack
from queuedeck.history.sql.packed import NO_PARTS
from queuedeck.history.sql.packed_facts import unpack_fact, unpack_facts
from queuedeck.history.sql.rows import (
    Head,
    RowMaker,
    Words,
    call_fact,
    columns,
    read_payloads,
    read_sources,
)
from queuedeck.history.sql.said import NO_LOG, read_logs, read_traces
from queuedeck.history.states import (
    Facts,
    attempt_state,
    attempts_of,
    ending_of,
    is_conflicting,
    key_of,
    measured_run,
)
from queuedeck.history.tasks import Attempt, TaskDetail, TaskRow, TimelineEntry

MOST_TIMELINE = 500
"""The newest so many events of a task are shown."""
MOST_SPARE = 5_000
"""So many of its spare facts are looked at."""
DETAIL_CHARS = 240
SEAL_ID_CHARS = 8

TAGS = {
    Kind.CHECKED: "task-checked",
    Kind.PUBLISHED: "task-published",
    Kind.RECEIVED: "task-received",
    Kind.STARTED: "task-started",
    Kind.RETRYING: "task-retrying",
    Kind.LOST: "task-lost",
    Kind.CANCELLED: "task-cancelled",
    Kind.FAILED: "task-failed",
    Kind.SUCCEEDED: "task-succeeded",
}

F = TypeVar("F")


def find_task(
    db: Database,
    words: Words,
    project_id: int,
    engine: str,
    task_id: str,
    generation: int | None = None,
    key: int | None = None,
) -> TaskDetail | None:
    with reading(db):
        sources = read_sources(db, project_id)
        mine = {number for number, source in sources.items() if source.engine == engine}
        heads = [head for head in _same_id(db, project_id, task_id) if head.source in mine]
        wanted = [
            head
            for head in heads
            if generation in (None, head.generation) and key in (None, head.id)
        ]
        if not wanted:
            return None
        head = wanted[0]
        row = RowMaker(db, words, project_id).rows([head], sources)[0]
        generations = sum(other.source == head.source for other in heads)
        return _Detail(db, words, head).make(row, generations)


def sealed_call(db: Database, project_id: int, key: int) -> bytes:
    """The sealed original call; empty if there is none, or the task is not the project's."""
    with reading(db):
        day, n = split(key)
        found = (
            has_day(db, day)
            and db.execute(
                f"SELECT facts FROM task_{day} WHERE n = ? AND project = ?",  # noqa: S608
                (n, project_id),
            ).fetchone()
        )
        call = call_fact(unpack_facts(found[0]), Part.SEALED) if found else None
        return read_payloads(db, [(key, call)]).get((key, call), NO_PARTS)[1] if call else b""


def cancelled_waiting(db: Database, project_id: int) -> list[tuple[str, str]]:
    """(source, task id) of the open tasks that somebody asked to cancel."""
    with reading(db):
        asked: dict[int, list[int]] = {}
        for (task,) in db.execute(
            "SELECT task FROM cancel_request WHERE project = ? ORDER BY task", (project_id,)
        ):
            day, n = split(task)
            asked.setdefault(day, []).append(n)
        rows = [row for day, numbers in asked.items() for row in _waiting(db, day, numbers)]
        return [(source, unpack(ext)) for source, ext in rows]


def _waiting(db: Database, day: int, numbers: list[int]) -> Iterable[tuple[str, bytes | str]]:
    if not has_day(db, day):
        return []
    return db.execute(
        f"SELECT s.fingerprint, t.ext FROM {db.dialect.NUMBERS} CROSS JOIN task_{day} AS t"  # noqa: S608
        " ON t.n = j.value JOIN source AS s ON s.id = t.source WHERE t.state < 4 ORDER BY t.n",
        (db.dialect.listed(numbers),),
    )


def _same_id(db: Database, project_id: int, task_id: str) -> list[Head]:
    """Every task that the id has named, newest first, numbered through.

    Where the writer did not look for older ones any more, it began again with 1.
    """
    key, ext = db.dialect.pack_id(task_id)
    heads: list[Head] = []
    for day in read_days_of(db, [key, older_key(key)]):
        rows = db.execute(
            f"SELECT {columns(day)} FROM task_{day} AS t INDEXED BY task_{day}_key"  # noqa: S608
            " WHERE t.key IN (?, ?) AND +t.project = ? AND t.ext = ?",
            (key, older_key(key), project_id, ext),
        )
        heads += [Head(*row) for row in rows]
    heads.sort(key=lambda head: head.id)
    newest: dict[int, int] = {}
    for head in heads:
        number = max(head.generation, newest.get(head.source, 0) + 1)
        head.generation = newest[head.source] = number
    return heads[::-1]


class _Detail:
    """Puts one task together."""

    def __init__(self, db: Database, words: Words, head: Head) -> None:
        self._db = db
        self._id = head.id
        self._facts = unpack_facts(head.facts)
        self._all = [*self._facts.values(), *self._read_spare()]
        self._words = words.read(db, self._references())
        self._payloads = read_payloads(db, [(head.id, fact) for fact in self._facts.values()])
        self._traces, self._logs = read_traces(db, head), read_logs(db, head)

    def make(self, row: TaskRow, generations: int) -> TaskDetail:
        facts = self._facts
        call = _first(facts, Published)
        started = _first(facts, Started)
        linked = call or started
        root = linked.root if linked is not None else ""
        sealed = self._part(call_fact(facts, Part.SEALED), Part.SEALED)
        return TaskDetail(
            row=row,
            attempts=[self._attempt(number) for number in attempts_of(facts)],
            timeline=self._timeline(),
            args=self._part(call_fact(facts, Part.ARGS), Part.ARGS),
            result=self._result(),
            seal_id=sealed[:SEAL_ID_CHARS].decode("ascii", "replace"),
            sealed_bytes=len(sealed),
            parent_id=linked.parent if linked is not None else "",
            root_id=row.task_id if root == SELF else root,
            group_id=linked.group if linked is not None else "",
            schedule=self._words[call.schedule] if call is not None else "",
            origin=self._words[call.origin] if call is not None else "",
            route=self._words[call.route] if call is not None else "",
            user=call.user if call is not None else "",
            exchange=self._words[call.exchange] if call is not None else "",
            routing_key=self._words[call.routing_key] if call is not None else "",
            expires_us=(call.expires_us or None) if call is not None else None,
            release=self._release(),
            generations=generations,
        )

    def _attempt(self, number: int) -> Attempt:
        facts = self._facts
        started = facts.get(key_of(number, Kind.STARTED))
        ending = ending_of(facts, number)
        worker = next((f.worker for f in (started, ending) if f is not None and f.worker), 0)
        raised = isinstance(ending, Failed | Retrying)
        log = self._logs.get(number) or NO_LOG
        return Attempt(
            number=number,
            state=attempt_state(facts, number),
            worker=self._words[worker],
            started_us=None if started is None else started.at_us,
            finished_us=None if ending is None else ending.at_us,
            run_us=measured_run(ending),
            next_us=(ending.next_us or None) if isinstance(ending, Retrying) else None,
            exception=self._words[ending.exception] if raised else "",
            message=self._message(ending),
            traceback=_text(self._part(ending, Part.TRACEBACK)) if raised else "",
            times_started=self._times_started(number),
            conflicting=is_conflicting(facts, number),
            trace_id=self._traces.get(number, ""),
            lines=tuple(log.lines),
            lines_left_out=log.left_out,
        )

    def _times_started(self, attempt: int) -> int:
        return sum(isinstance(fact, Started) and fact.attempt == attempt for fact in self._all)

    def _timeline(self) -> list[TimelineEntry]:
        order = sorted(self._all, key=lambda fact: (fact.at_us, fact.attempt, fact.kind_no))
        return [self._entry(fact) for fact in order[-MOST_TIMELINE:]]

    def _entry(self, fact: AnyFact) -> TimelineEntry:
        return TimelineEntry(
            at_us=fact.at_us,
            kind=TAGS[fact.kind_no],
            attempt=fact.attempt,
            worker=self._words[fact.worker],
            detail=self._said(fact).partition("\n")[0][:DETAIL_CHARS],
        )

    def _said(self, fact: AnyFact) -> str:
        """What the timeline says beside kind and worker."""
        match fact:
            case Failed() | Retrying():
                exception = self._words[fact.exception]
                return ": ".join(text for text in (exception, fact.message) if text)
            case Cancelled():
                return self._words[fact.reason]
            case Lost():
                return fact.message
            case Checked():
                return fact.text
            case Started(redelivered=True):
                return "delivered again"
            case _:
                return ""

    def _message(self, ending: AnyFact | None) -> str:
        if not isinstance(ending, Failed | Retrying | Lost):
            return ""
        return _text(self._part(ending, Part.MESSAGE)) or ending.message

    def _result(self) -> bytes:
        ending = _last(self._facts, Succeeded)
        return b"" if ending is None else self._part(ending, Part.RESULT) or ending.result

    def _release(self) -> str:
        started = _last(self._facts, Started)
        return self._words[started.release] if started is not None else ""

    def _part(self, fact: AnyFact | None, part: Part) -> bytes:
        return b"" if fact is None else self._payloads.get((self._id, fact), NO_PARTS)[part]

    def _read_spare(self) -> list[AnyFact]:
        day, n = split(self._id)
        rows = self._db.execute(
            f"SELECT fact FROM spare_{day} WHERE n = ? LIMIT ?",  # noqa: S608
            (n, MOST_SPARE),
        )
        return [unpack_fact(row[0]) for row in rows]

    def _references(self) -> set[int]:
        refs = {fact.worker for fact in self._all}
        for fact in self._all:
            match fact:
                case Published():
                    refs |= {fact.schedule, fact.origin, fact.route}
                    refs |= {fact.exchange, fact.routing_key}
                case Started():
                    refs.add(fact.release)
                case Failed() | Retrying():
                    refs.add(fact.exception)
                case Cancelled():
                    refs.add(fact.reason)
                case _:
                    pass
        return refs


def _first(facts: Facts, kind: type[F]) -> F | None:
    return next((facts[key] for key in sorted(facts) if isinstance(facts[key], kind)), None)  # pyright: ignore[reportReturnType]


def _last(facts: Facts, kind: type[F]) -> F | None:
    return _first({-key: fact for key, fact in facts.items()}, kind)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
