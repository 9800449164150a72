# SPDX-License-Identifier: AGPL-3.0-only
"""Brings a history of layout 1, which had one table for all days, to day tables: at opening, in
the transaction that changes the layout's number.
"""

import msgspec

from queuedeck.clock import now_us
from queuedeck.history.facts import (
    INLINE_MESSAGE_CHARS,
    INLINE_RESULT_BYTES,
    AnyFact,
    Cancelled,
    Fact,
    Failed,
    Kind,
    Lost,
    Published,
    Received,
    Retrying,
    Started,
    Succeeded,
)
from queuedeck.history.sql.changes import Changes
from queuedeck.history.sql.days import Days, split
from queuedeck.history.sql.ledger import Ledger
from queuedeck.history.sql.packed import unpack_part
from queuedeck.history.sql.tasks import Task
from queuedeck.history.sqlite.dialect import SqliteDatabase
from queuedeck.history.states import key_of

_STEP = 1_000
_decode_facts = msgspec.msgpack.Decoder(list[AnyFact]).decode
"""Layout 1 kept facts as they are, all fields of them."""
_OLD_TABLES = ("task", "facts", "call", "outcome", "event")
_FACTS: dict[int, type[Fact]] = {
    one.kind_no: one
    for one in (Published, Received, Started, Retrying, Lost, Cancelled, Failed, Succeeded)
}


def copy_days(db: SqliteDatabase) -> None:
    """Copy every task into the tables of its day, and drop the old tables."""
    days, ledger = Days(db), Ledger(db, now_us)
    db.execute("DELETE FROM state_count")
    rows = db.execute(
        "SELECT id, key, ext, project, source, generation, flags, data FROM task"
        " JOIN facts ON task = id ORDER BY id"
    )
    while some := rows.fetchmany(_STEP):
        changes = Changes(db, 0, ledger)
        for number, key, ext, project, source, generation, flags, data in some:
            days.make(split(number)[0])
            task = Task(number, (project, source, ext), key, generation, {}, flags=flags)
            _copy_facts(db, task, _decode_facts(data), changes)
            changes.add_task(task)
        changes.write()
    for table in _OLD_TABLES:
        db.execute(f"DROP TABLE {table}")


def _copy_facts(db: SqliteDatabase, task: Task, facts: list[AnyFact], changes: Changes) -> None:
    parts = {
        number: unpack_part(data)
        for table in ("call", "outcome")
        for number, data in db.execute(f"SELECT part, data FROM {table} WHERE task = ?", (task.id,))  # noqa: S608
    }
    for fact in facts:
        base = fact.attempt << 8 | fact.kind_no << 2
        first, second = parts.get(base, b""), parts.get(base | 1, b"")
        lifted, first = _lifted(fact, first)
        task.facts[key_of(fact.attempt, fact.kind_no)] = lifted
        if lifted.held:
            changes.add_parts(task, lifted, (first, second))
    changes.add_spare(task, _events(db, task))


def _lifted(fact: AnyFact, first: bytes) -> tuple[AnyFact, bytes]:
    """A fact with what it now holds itself, and what is still to be kept apart."""
    held = fact.held & ~1
    match fact:
        case Succeeded() if len(first) <= INLINE_RESULT_BYTES:
            return msgspec.structs.replace(fact, held=held, result=first), b""
        case Failed() | Retrying() | Lost():
            text = first.decode(errors="replace")
            inline = text[:INLINE_MESSAGE_CHARS]
            if inline == text:
                return msgspec.structs.replace(fact, held=held, message=inline), b""
            return msgspec.structs.replace(fact, message=inline), first
        case _:
            return fact, first


def _events(db: SqliteDatabase, task: Task) -> list[AnyFact]:
    """The lines of the old timeline that do not follow from the facts."""
    found: list[AnyFact] = []
    for kind, attempt, at_us, worker, detail in db.execute(
        "SELECT kind, attempt, at_us, worker, detail FROM event WHERE task = ?", (task.id,)
    ):
        known = task.facts.get(key_of(attempt, Kind(kind)))
        if known is None or (known.at_us, known.worker) != (at_us, worker):
            fact = _FACTS[kind](at_us, attempt, 0, worker)
            found.append(_explained(fact, detail))  # pyright: ignore[reportArgumentType]
    return found


def _explained(fact: AnyFact, detail: str | None) -> AnyFact:
    match fact:
        case Failed() | Retrying() | Lost():
            return msgspec.structs.replace(fact, message=detail or "")
        case Started():
            return msgspec.structs.replace(fact, redelivered=detail is not None)
        case _:
            return fact
