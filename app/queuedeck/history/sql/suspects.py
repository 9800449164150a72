# SPDX-License-Identifier: AGPL-3.0-only
"""Open tasks one after the other, by the index of states: one statement for each day and state that
is reached, and one for each day in which some were delivered more than once. Readers only.
"""

from collections.abc import Iterable, Sequence

import msgspec

from queuedeck.history.derive import Derived, derive
from queuedeck.history.facts import Checked, Received, Retrying, Started, Verdict
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.days import read_days, split
from queuedeck.history.sql.names import STATE_NUMBERS
from queuedeck.history.sql.packed_facts import unpack_fact, unpack_facts
from queuedeck.history.sql.rows import Head, SourceRow, Words, columns, read_sources
from queuedeck.history.states import (
    Facts,
    current_and_ran,
    final_ending,
    get_fact,
    is_known,
    newest_start,
)
from queuedeck.history.suspects import OpenTask, OpenTasks
from queuedeck.history.tasks import FINAL_STATES, TaskState
from queuedeck_agent import wire

MOST_STARTS = 50
"""So many starts of one attempt are told."""


class _Open(msgspec.Struct):
    head: Head
    facts: Facts
    seen: Derived
    attempt: int
    again: list[Started]
    """Starts of the attempt beside the first."""


def read_open(
    db: Database,
    words: Words,
    project_id: int,
    states: Sequence[TaskState],
    after: int,
    limit: int,
) -> OpenTasks:
    with reading(db):
        sources = read_sources(db, project_id)
        heads, last = _heads(db, project_id, states, after, limit)
        found = [_open(head) for head in heads]
        known = [one for one in found if not _was_reported(one)]
        _read_again(db, known)
        said = words.read(db, {ref for one in known for ref in _references(one)})
        tasks = [_task(one, sources[one.head.source], said) for one in known]
    return OpenTasks(tasks=tasks, looked_at=len(heads), after=last)


def _heads(
    db: Database, project_id: int, states: Sequence[TaskState], after: int, limit: int
) -> tuple[list[Head], int]:
    """The next ones in the order of their keys, and where to go on."""
    first, beyond = split(after)
    heads: list[Head] = []
    for day in sorted(read_days(db)):
        if day < first:
            continue
        low = beyond if day == first else 0
        some: list[Head] = []
        for state in states:
            # The state is written out: the index is of states other than one.
            rows = db.execute(
                f"SELECT {columns(day)} FROM task_{day} AS t INDEXED BY task_{day}_state"  # noqa: S608
                f" WHERE t.project = ? AND t.state = {STATE_NUMBERS[state]} AND t.state <> 4"
                " AND t.n > ? ORDER BY t.n LIMIT ?",
                (project_id, low, limit - len(heads) + 1),
            )
            some += [Head(*row) for row in rows]
        heads += sorted(some, key=lambda head: head.id)
        if len(heads) > limit:
            heads = heads[:limit]
            return heads, heads[-1].id
    return heads, 0


def _open(head: Head) -> _Open:
    facts = unpack_facts(head.facts)
    return _Open(head, facts, derive(facts), current_and_ran(facts)[0], [])


def _was_reported(one: _Open) -> bool:
    """Whether it ended by what an agent reported: nobody need ask."""
    if one.seen.state not in FINAL_STATES:
        return False
    ending = final_ending(one.facts, one.attempt)
    return ending is not None and is_known(one.facts, ending)


def _read_again(db: Database, found: Sequence[_Open]) -> None:
    """The other starts, which only the timeline has."""
    days: dict[int, dict[int, _Open]] = {}
    for one in found:
        started = get_fact(one.facts, one.attempt, Started)
        if started is not None and started.again_us:
            day, n = split(one.head.id)
            days.setdefault(day, {})[n] = one
    for day, numbers in days.items():
        rows = db.execute(
            f"SELECT s.n, s.fact FROM {db.dialect.NUMBERS} CROSS JOIN spare_{day} AS s"  # noqa: S608
            " ON s.n = j.value",
            (db.dialect.listed(numbers),),
        )
        for n, data in rows:
            fact, one = unpack_fact(data), numbers[n]
            if isinstance(fact, Started) and fact.attempt == one.attempt:
                one.again.append(fact)


def _references(one: _Open) -> Iterable[int]:
    yield from (one.seen.name, one.seen.queue)
    yield from (fact.worker for fact in _holders(one))


def _holders(one: _Open) -> list[Started | Received]:
    started = get_fact(one.facts, one.attempt, Started)
    if started is not None:
        found: list[Started | Received] = [started, *one.again]
        return found[-MOST_STARTS:]
    received = get_fact(one.facts, one.attempt, Received)
    return [received] if received is not None else []


def _task(one: _Open, source: SourceRow, words: dict[int, str]) -> OpenTask:
    holders = _holders(one)
    newest = newest_start(one.facts, one.attempt)
    checked = get_fact(one.facts, one.attempt, Checked)
    is_about = checked is not None and checked.about_us == newest
    return OpenTask(
        key=one.head.id,
        engine=source.engine,
        source=source.fingerprint,
        task_id=one.head.task_id,
        name=words[one.seen.name],
        queue=words[one.seen.queue],
        state=one.seen.state,
        attempt=max(1, one.attempt),
        starts=tuple(_seen(fact, words) for fact in holders if fact.worker),
        began=newest > 0,
        since_us=newest or _due_us(one),
        verdict=Verdict(checked.verdict) if checked is not None and is_about else None,
        checked_us=checked.at_us if checked is not None and is_about else 0,
    )


def _seen(fact: Started | Received, words: dict[int, str]) -> wire.StartSeen:
    pid = fact.pid if isinstance(fact, Started) else 0
    return wire.StartSeen(words[fact.worker], fact.at_us, pid)


def _due_us(one: _Open) -> int:
    """Since when it could have begun."""
    retry = get_fact(one.facts, one.attempt - 1, Retrying)
    known = one.seen.published_us or one.seen.seen_us
    if retry is not None:
        known = max(retry.at_us, retry.next_us)
    return max(known, one.seen.eta_us or 0)
