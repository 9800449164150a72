# SPDX-License-Identifier: AGPL-3.0-only
"""The index of words: for each day one table of the database's own full-text search over the
documents of its tasks, filled behind a watermark and dropped with the day.

A task is indexed once, when it has ended. Up to the watermark, those that had not are in
`word_wait`; these and all above it are compared one by one when somebody searches. The words come
ready from `matching.py`, so the table only splits at spaces.
"""

from collections.abc import Sequence

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.history.facts import Part, Published
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import read_days, split
from queuedeck.history.sql.deep import COUNTED, Found, make_document
from queuedeck.history.sql.names import STATES
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sql.rows import Words, call_fact, columns, read_payloads
from queuedeck.history.states import Facts
from queuedeck.history.tasks import FINAL_STATES

TABLES = """
CREATE TABLE word_index (day INTEGER PRIMARY KEY, upto INTEGER NOT NULL) STRICT;

CREATE TABLE word_wait (
  day INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (day, n)) STRICT, WITHOUT ROWID;
"""

_WAITING = (
    "word_wait AS w CROSS JOIN task_{day} AS t ON t.n = w.n WHERE w.day = ? AND w.n > ?"
    " ORDER BY w.n"
)

STEP_TASKS = 500
DROP_ROWS = 2_000
PUBLISHED_WITHIN_US = 10 * MINUTE_US
"""So long a task that has ended waits for its publication, which may carry the arguments."""


class Indexed(msgspec.Struct, frozen=True):
    """How far the index of a day reaches."""

    upto: int
    has_words: bool
    has_waiting: bool


class Portion(msgspec.Struct, frozen=True):
    """What one step adds to the index of a day."""

    day: int
    upto: int
    documents: list[tuple[int, str]]
    waiting: list[int]
    waited: list[int]
    """Tasks that need not wait any longer."""


def read_indexed(db: Database, day: int) -> Indexed:
    row = db.execute("SELECT upto FROM word_index WHERE day = ?", (day,)).fetchone()
    if row is None:
        return Indexed(0, False, False)
    waiting = db.execute("SELECT 1 FROM word_wait WHERE day = ? LIMIT 1", (day,)).fetchone()
    return Indexed(row[0], True, waiting is not None)


def read_portion(db: Database, words: Words, now_us: int, waited: dict[int, int]) -> Portion | None:
    """The next tasks to index, of the newest day that has any. `waited` remembers, for each day,
    up to where those that wait were looked at.
    """
    for day in read_days(db):
        upto = read_indexed(db, day).upto
        new = _read(db, day, f"task_{day} AS t WHERE t.n > ? ORDER BY t.n", (upto,))
        old = _read(db, day, _WAITING.format(day=day), (day, waited.get(day, 0)))
        waited[day] = _n(old[-1]) if len(old) == STEP_TASKS else 0
        if new or old:
            portion = _portion(db, words, now_us, day, upto, new, old)
            if new or portion.waited:
                return portion
    return None


def write_portion(db: Database, portion: Portion) -> None:
    """In the caller's transaction."""
    day = portion.day
    db.dialect.make_words(db, day)
    db.dialect.add_words(db, day, portion.documents)
    db.executemany(
        "INSERT INTO word_wait (day, n) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(day, n) for n in portion.waiting],
    )
    db.executemany(
        "DELETE FROM word_wait WHERE day = ? AND n = ?", [(day, n) for n in portion.waited]
    )
    db.execute(
        "INSERT INTO word_index (day, upto) VALUES (?, ?)"
        " ON CONFLICT (day) DO UPDATE SET upto = excluded.upto",
        (day, portion.upto),
    )


def drop_waiting(db: Database, day: int) -> bool:
    """Take away a piece of what the common tables say about the index of a day. Says whether there
    was one.
    """
    waiting = db.execute(
        "DELETE FROM word_wait WHERE day = ? AND n IN"
        " (SELECT n FROM word_wait WHERE day = ? LIMIT ?)",
        (day, day, DROP_ROWS),
    )
    if waiting.rowcount:
        return True
    return db.execute("DELETE FROM word_index WHERE day = ?", (day,)).rowcount > 0


def _read(db: Database, day: int, rest: str, values: tuple[int, ...]) -> list[Found]:
    rows = db.execute(
        f"SELECT {columns(day)}{COUNTED} FROM {rest} LIMIT {STEP_TASKS}",  # noqa: S608
        values,
    )
    return [Found(*row) for row in rows]


def _portion(
    db: Database,
    words: Words,
    now_us: int,
    day: int,
    upto: int,
    new: Sequence[Found],
    old: Sequence[Found],
) -> Portion:
    facts = {head.id: unpack_facts(head.facts) for head in (*new, *old)}
    settled = [head for head in (*new, *old) if _is_settled(head, facts[head.id], now_us)]
    calls = {head.id: call_fact(facts[head.id], Part.ARGS) for head in settled}
    payloads = read_payloads(db, [(task, call) for task, call in calls.items() if call])
    known = words.read(db, {head.exception for head in settled})
    documents: list[tuple[int, str]] = []
    for head in settled:
        text = make_document(
            facts[head.id], calls[head.id], payloads, head.id, known[head.exception]
        )
        if text:
            documents.append((_n(head), text))
    done = {_n(head) for head in settled}
    return Portion(
        day,
        _n(new[-1]) if new else upto,
        documents,
        [_n(head) for head in new if _n(head) not in done],
        [_n(head) for head in old if _n(head) in done],
    )


def _is_settled(head: Found, facts: Facts, now_us: int) -> bool:
    if STATES[head.state] not in FINAL_STATES:
        return False
    is_published = any(isinstance(fact, Published) for fact in facts.values())
    return is_published or head.seen_us < now_us - PUBLISHED_WITHIN_US


def _n(head: Found) -> int:
    return split(head.id)[1]
