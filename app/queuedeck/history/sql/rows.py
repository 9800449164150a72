# SPDX-License-Identifier: AGPL-3.0-only
"""Rows of the tables made into the records that the rest of the server sees. Readers only."""

from collections.abc import Iterable, Sequence

import msgspec

from queuedeck.history.derive import Derived, derive
from queuedeck.history.facts import (
    AnyFact,
    Checked,
    Failed,
    Lost,
    Part,
    Published,
    Retrying,
    Started,
)
from queuedeck.history.preview import args_preview
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import DAY_SHIFT, split
from queuedeck.history.sql.identity import unpack as unpack_id
from queuedeck.history.sql.packed import NO_PARTS, payload_id, payload_table, unpack_parts
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sql.retries import read_retried_as, read_retry_of
from queuedeck.history.sql.said import read_progress, read_tags
from queuedeck.history.sql.tasks import FLAG_CANCEL
from queuedeck.history.states import Facts
from queuedeck.history.tasks import TaskRow


class Head(msgspec.Struct):
    """What of a row of `task_<day>` is read, in the order of `columns`; the rest follows from the
    facts, and has columns only to be searched.
    """

    id: int
    ext: bytes | str
    source: int
    generation: int
    flags: int
    facts: bytes
    label: str
    mark: int

    @property
    def task_id(self) -> str:
        return unpack_id(self.ext)


def columns(day: int) -> str:
    plain = "t.ext, t.source, t.generation, t.flags, t.facts, t.label, t.mark"
    return f"{day << DAY_SHIFT} | t.n, {plain}"


class SourceRow(msgspec.Struct, frozen=True):
    id: int
    engine: str
    fingerprint: str
    name: str
    text_ids: int
    """Not 0: some of its task ids are no UUIDs."""


class Words:
    """Words by reference. References are never given out again, so they can be kept."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {0: ""}

    def read(self, db: Database, refs: Iterable[int]) -> dict[int, str]:
        missing = {ref for ref in refs if ref not in self._known}
        if missing:
            rows = db.execute(
                f"SELECT w.id, w.value FROM {db.dialect.NUMBERS} CROSS JOIN word AS w"  # noqa: S608
                " ON w.id = j.value",
                (db.dialect.listed(missing),),
            )
            self._known.update(rows.fetchall())
        return self._known


def read_sources(db: Database, project_id: int) -> dict[int, SourceRow]:
    rows = db.execute(
        "SELECT id, engine, fingerprint, name, text_ids FROM source WHERE project = ?",
        (project_id,),
    )
    return {row[0]: SourceRow(*row) for row in rows}


Payloads = dict[tuple[int, AnyFact], tuple[bytes, bytes]]
"""What facts carry apart, by task and fact."""


def read_payloads(db: Database, wanted: Iterable[tuple[int, AnyFact]]) -> Payloads:
    """The payloads of facts, where there are any."""
    tables: dict[str, dict[int, tuple[int, AnyFact]]] = {}
    for number, fact in wanted:
        if fact.held:
            day, n = split(number)
            table = f"{payload_table(fact)}_{day}"
            tables.setdefault(table, {})[payload_id(n, fact)] = (number, fact)
    found: Payloads = {}
    for table, keys in tables.items():
        rows = db.execute(
            f"SELECT p.id, p.data FROM {db.dialect.NUMBERS} CROSS JOIN {table} AS p"  # noqa: S608
            " ON p.id = j.value",
            (db.dialect.listed(keys),),
        )
        found.update({keys[number]: unpack_parts(data) for number, data in rows})
    return found


def call_fact(facts: Facts, part: Part) -> AnyFact | None:
    """The fact that carries the call's arguments, or the sealed call: a publication first."""
    calls = [fact for fact in facts.values() if isinstance(fact, Published | Started)]
    calls = [fact for fact in calls if fact.held >> part & 1]
    return min(calls, key=lambda fact: (fact.attempt, fact.kind_no), default=None)


class RowMaker:
    """Makes `TaskRow`s of heads: a fixed number of statements for any number of rows."""

    def __init__(self, db: Database, words: Words, project_id: int) -> None:
        self._db = db
        self._words = words
        self._project_id = project_id

    def rows(self, heads: Sequence[Head], sources: dict[int, SourceRow]) -> list[TaskRow]:
        facts = [unpack_facts(head.facts) for head in heads]
        calls = [call_fact(some, Part.ARGS) for some in facts]
        payloads = read_payloads(
            self._db, [(h.id, call) for h, call in zip(heads, calls, strict=True) if call]
        )
        seen = [derive(some) for some in facts]
        words = self._words.read(
            self._db,
            {ref for s in seen for ref in (s.name, s.queue, s.worker, s.exception)}
            | {head.mark for head in heads},
        )
        links = [(sources[head.source].fingerprint, head.task_id) for head in heads]
        retry_of = read_retry_of(self._db, self._project_id, links)
        retried_as = read_retried_as(self._db, self._project_id, links)
        tags, progress = read_tags(self._db, heads), read_progress(self._db, heads)
        rows: list[TaskRow] = []
        for head, some, call, derived in zip(heads, facts, calls, seen, strict=True):
            source = sources[head.source]
            link = (source.fingerprint, head.task_id)
            args, _ = payloads.get((head.id, call), NO_PARTS) if call else NO_PARTS
            row = _row(head, source, derived, words)
            rows.append(
                msgspec.structs.replace(
                    row,
                    message=_first_line(some, derived),
                    args_preview=args_preview(args),
                    retry_of=retry_of.get(link, ""),
                    retried_as=retried_as.get(link, ""),
                    tags=tags.get(head.id, ()),
                    progress=progress.get(head.id),
                )
            )
        return rows


def _row(head: Head, source: SourceRow, seen: Derived, words: dict[int, str]) -> TaskRow:
    return TaskRow(
        key=head.id,
        engine=source.engine,
        source=source.fingerprint,
        source_name=source.name,
        task_id=head.task_id,
        generation=head.generation,
        name=words[seen.name],
        queue=words[seen.queue],
        worker=words[seen.worker],
        state=seen.state,
        attempt=seen.attempt,
        priority=seen.priority if seen.priority >= 0 else None,
        seen_us=seen.seen_us,
        published_us=seen.published_us,
        started_us=seen.started_us,
        finished_us=seen.finished_us,
        eta_us=seen.eta_us,
        wait_us=seen.wait_us,
        run_us=seen.run_us,
        exception=words[seen.exception],
        cancel_requested=bool(head.flags & FLAG_CANCEL),
        message="",
        args_preview="",
        retry_of="",
        retried_as="",
        label=head.label,
        mark=words[head.mark],
    )


def _first_line(facts: Facts, seen: Derived) -> str:
    error = facts[seen.error] if seen.error else None
    if isinstance(error, Checked):
        return error.text
    if isinstance(error, Failed | Retrying | Lost):
        return error.message.strip().partition("\n")[0]
    return ""
