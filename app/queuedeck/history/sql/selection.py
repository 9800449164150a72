# SPDX-License-Identifier: AGPL-3.0-only
"""Tasks as operations see them: thousands in one read, without what they carry."""

from collections.abc import Iterable, Sequence
from itertools import islice

from queuedeck.history.derive import derive
from queuedeck.history.facts import Part
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.days import DAY_SHIFT, has_day, split
from queuedeck.history.sql.listing import format_cursor, parse_cursor
from queuedeck.history.sql.packed import NO_PARTS
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sql.retries import read_retried_as
from queuedeck.history.sql.rows import (
    Head,
    SourceRow,
    Words,
    call_fact,
    columns,
    read_payloads,
    read_sources,
)
from queuedeck.history.sql.search import plan
from queuedeck.history.sql.walk import NEWEST, Walk
from queuedeck.history.tasks import SelectedTask, Selection

MAX_LIMIT = 5_000


def select_tasks(
    db: Database,
    words: Words,
    now_us: int,
    project_id: int,
    question: TaskFilter,
    limit: int,
    after: str,
    newest: int | None,
) -> Selection:
    """The newest tasks that match, older than the cursor, and not above `newest`."""
    limit = max(1, min(limit, MAX_LIMIT))
    before = NEWEST if newest is None else newest + 1
    if after:
        before = min(before, parse_cursor(after))
    with reading(db):
        sources = read_sources(db, project_id)
        walk = Walk(db, plan(db, project_id, question, sources, now_us), before)
        heads = list(islice(walk.heads(limit + 1), limit + 1))
        tasks = _selected(db, words, project_id, heads[:limit], sources)
    if len(heads) > limit:
        return Selection(tasks=tasks, after=format_cursor(heads[limit - 1].id))
    return Selection(tasks=tasks, after=format_cursor(walk.reached) if walk.reached else "")


def read_selected(
    db: Database, words: Words, project_id: int, keys: Sequence[int]
) -> dict[int, SelectedTask]:
    """The tasks with these keys as they are now; those that are gone are left out."""
    with reading(db):
        sources = read_sources(db, project_id)
        heads = [
            Head(*row)
            for day, numbers in _by_day(keys)
            if has_day(db, day)
            for row in db.execute(
                f"SELECT {columns(day)} FROM {db.dialect.NUMBERS} CROSS JOIN task_{day} AS t"  # noqa: S608
                " ON t.n = j.value WHERE +t.project = ?",
                (db.dialect.listed(numbers), project_id),
            )
        ]
        return {task.key: task for task in _selected(db, words, project_id, heads, sources)}


def sealed_calls(db: Database, project_id: int, keys: Sequence[int]) -> dict[int, bytes]:
    """The sealed original calls of the project's tasks with these keys, where there are any."""
    with reading(db):
        wanted = [
            (key, call)
            for day, numbers in _by_day(keys)
            if has_day(db, day)
            for key, facts in db.execute(
                f"SELECT {day << DAY_SHIFT} | t.n, t.facts FROM {db.dialect.NUMBERS}"  # noqa: S608
                f" CROSS JOIN task_{day} AS t ON t.n = j.value WHERE +t.project = ?",
                (db.dialect.listed(numbers), project_id),
            )
            if (call := call_fact(unpack_facts(facts), Part.SEALED)) is not None
        ]
        payloads = read_payloads(db, wanted)
        found = {key: payloads.get((key, call), NO_PARTS)[1] for key, call in wanted}
    return {key: sealed for key, sealed in found.items() if sealed}


def _by_day(keys: Iterable[int]) -> Iterable[tuple[int, list[int]]]:
    days: dict[int, list[int]] = {}
    for key in keys:
        day, n = split(key)
        days.setdefault(day, []).append(n)
    return days.items()


def _selected(
    db: Database,
    words: Words,
    project_id: int,
    heads: Sequence[Head],
    sources: dict[int, SourceRow],
) -> list[SelectedTask]:
    known = [unpack_facts(head.facts) for head in heads]
    seen = [derive(facts) for facts in known]
    said = words.read(db, {ref for one in seen for ref in (one.name, one.queue)})
    links = [(sources[head.source].fingerprint, head.task_id) for head in heads]
    retried = read_retried_as(db, project_id, links)
    found: list[SelectedTask] = []
    for head, facts, derived in zip(heads, known, seen, strict=True):
        source = sources[head.source]
        found.append(
            SelectedTask(
                key=head.id,
                engine=source.engine,
                source=source.fingerprint,
                source_name=source.name,
                task_id=head.task_id,
                name=said[derived.name],
                queue=said[derived.queue],
                state=derived.state,
                attempt=derived.attempt,
                has_call=call_fact(facts, Part.SEALED) is not None,
                retried_as=retried.get((source.fingerprint, head.task_id), ""),
            )
        )
    return found
