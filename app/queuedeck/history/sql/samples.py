# SPDX-License-Identifier: AGPL-3.0-only
"""The newest tasks that match, with their arguments and results: for trying rules on them."""

from itertools import islice

from queuedeck.history.derive import derive
from queuedeck.history.facts import AnyFact, Part, Succeeded
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.packed import NO_PARTS
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.sql.rows import Payloads, Words, call_fact, read_payloads, read_sources
from queuedeck.history.sql.search import plan
from queuedeck.history.sql.walk import NEWEST, Walk
from queuedeck.history.states import Facts
from queuedeck.history.tasks import TaskSample

MAX_LIMIT = 200


def read_samples(
    db: Database, words: Words, now_us: int, project_id: int, question: TaskFilter, limit: int
) -> list[TaskSample]:
    """A fixed number of statements for any number of tasks."""
    limit = max(1, min(limit, MAX_LIMIT))
    with reading(db):
        sources = read_sources(db, project_id)
        walk = Walk(db, plan(db, project_id, question, sources, now_us), NEWEST)
        heads = list(islice(walk.heads(limit), limit))
        known = [unpack_facts(head.facts) for head in heads]
        calls = [call_fact(facts, Part.ARGS) for facts in known]
        endings = [_ending(facts) for facts in known]
        wanted = [
            (head.id, fact)
            for head, *carriers in zip(heads, calls, endings, strict=True)
            for fact in carriers
            if fact is not None
        ]
        payloads = read_payloads(db, wanted)
        names = [derive(facts).name for facts in known]
        said = words.read(db, names)
    return [
        TaskSample(
            key=head.id,
            engine=sources[head.source].engine,
            task_id=head.task_id,
            name=said[name],
            args=_carried(payloads, head.id, call),
            result=_carried(payloads, head.id, ending) or (ending.result if ending else b""),
        )
        for head, name, call, ending in zip(heads, names, calls, endings, strict=True)
    ]


def _ending(facts: Facts) -> Succeeded | None:
    """The newest success."""
    found = [fact for fact in facts.values() if isinstance(fact, Succeeded)]
    return max(found, key=lambda fact: fact.attempt, default=None)


def _carried(payloads: Payloads, task: int, fact: AnyFact | None) -> bytes:
    return b"" if fact is None else payloads.get((task, fact), NO_PARTS)[0]
