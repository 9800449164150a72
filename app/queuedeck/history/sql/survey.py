# SPDX-License-Identifier: AGPL-3.0-only
"""Counts of what matches a question: for the facets, and over time. Of the newest matches only,
within a budget, and the answer says so.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import msgspec

from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql.database import Database, reading
from queuedeck.history.sql.deep import Found
from queuedeck.history.sql.names import STATES
from queuedeck.history.sql.rows import SourceRow, Words, read_sources
from queuedeck.history.sql.said import read_tags
from queuedeck.history.sql.search import plan
from queuedeck.history.sql.walk import NEWEST, Budget, Walk
from queuedeck.history.surveys import FacetCounts, Facets, Histogram, HistogramBar
from queuedeck.history.tasks import TaskState

MOST_MATCHES = 10_000
SURVEY_S = 0.1
SURVEY_ROWS = 200_000
STEP = 2_000
TOP = 12
"""So many values of a facet are given, those with the most tasks."""
BARS = 60

_OWN = {
    "state": ("states", "not_states"),
    "task": ("names", "not_names"),
    "label": ("labels", "not_labels"),
    "queue": ("queues", "not_queues"),
    "engine": ("engines", "not_engines"),
    "worker": ("workers", "not_workers"),
    "error": ("errors", "not_errors"),
    "tag": ("tags", "not_tags"),
}
FACET_KEYS = frozenset(_OWN)
"""Keys whose values can be counted."""


class _Sample(msgspec.Struct):
    heads: list[Found]
    is_complete: bool


class Surveyor:
    """Reads the newest matches of a question, and of it without some of its fields."""

    def __init__(
        self,
        db: Database,
        words: Words,
        project_id: int,
        now_us: int,
        most: int | None = None,
    ) -> None:
        self._most = most or MOST_MATCHES
        self._db = db
        self._words = words
        self._project_id = project_id
        self._now_us = now_us
        self._sources = read_sources(db, project_id)
        self._samples: dict[TaskFilter, _Sample] = {}

    def sample(self, question: TaskFilter) -> _Sample:
        known = self._samples.get(question)
        if known is not None:
            return known
        search = plan(self._db, self._project_id, question, self._sources, self._now_us)
        walk = Walk(self._db, search, NEWEST, Budget(SURVEY_ROWS, SURVEY_S))
        heads = list(islice(walk.heads(min(STEP, self._most + 1)), self._most + 1))
        is_complete = not walk.reached and len(heads) <= self._most
        found = self._samples[question] = _Sample(heads[: self._most], is_complete)
        return found

    def counts(self, key: str, question: TaskFilter) -> FacetCounts:
        """The values of one facet under the rest of the question."""
        sample, named = self._sampled(key, question)
        return FacetCounts(
            values=dict(named.most_common(TOP)),
            others=max(0, len(named) - TOP),
            is_complete=sample.is_complete,
            looked_at=len(sample.heads),
        )

    def named(self, key: str, question: TaskFilter) -> Counter[str]:
        """How many have each value of one facet, under the rest of the question."""
        return self._sampled(key, question)[1]

    def _sampled(self, key: str, question: TaskFilter) -> tuple[_Sample, Counter[str]]:
        rest = msgspec.structs.replace(question, **dict.fromkeys(_OWN[key], ()))
        sample = self.sample(rest)
        counted = self._counted(key, sample.heads)
        named = Counter[str]()
        known = self._words.read(self._db, _refs(key, counted))
        for value, count in counted.items():
            text = known[value] if isinstance(value, int) else value
            if text:
                named[text] += count
        return sample, named

    def _counted(self, key: str, heads: Sequence[Found]) -> Counter[int | str]:
        if key == "tag":
            tags = read_tags(self._db, heads)
            return Counter(tag for some in tags.values() for tag in some)
        return Counter(_value(head, key, self._sources) for head in heads)


def read_facets(
    db: Database, words: Words, now_us: int, project_id: int, question: TaskFilter
) -> Facets:
    with reading(db):
        surveyor = Surveyor(db, words, project_id, now_us)
        return Facets({key: surveyor.counts(key, question) for key in _OWN})


def read_histogram(db: Database, now_us: int, project_id: int, question: TaskFilter) -> Histogram:
    with reading(db):
        sample = Surveyor(db, Words(), project_id, now_us).sample(question)
    times = [head.seen_us for head in sample.heads]
    low, high = min(times, default=now_us), max(times, default=now_us)
    width = _bar_width(low, high)
    first = low // width
    bars: dict[int, Counter[TaskState]] = {}
    for head in sample.heads:
        bars.setdefault(head.seen_us // width - first, Counter())[STATES[head.state]] += 1
    return Histogram(
        from_us=first * width,
        bar_us=width,
        bars=[HistogramBar(at, dict(bars[at])) for at in sorted(bars)],
        count=high // width - first + 1,
        is_complete=sample.is_complete,
        looked_at=len(times),
    )


_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200)
_DAY_S = 86_400


def _bar_width(low: int, high: int) -> int:
    """The least round width with at most so many bars."""
    for width in _WIDTHS_S:
        if (high - low) // (width * 1_000_000) < BARS - 1:
            return width * 1_000_000
    days = (high - low) // (_DAY_S * 1_000_000) // (BARS - 1) + 1
    return days * _DAY_S * 1_000_000


def _value(head: Found, key: str, sources: dict[int, SourceRow]) -> int | str:
    match key:
        case "state":
            return STATES[head.state].value
        case "engine":
            return sources[head.source].engine
        case "task":
            return head.name
        case "label":
            return head.label
        case "queue":
            return head.queue
        case "worker":
            return head.worker
        case _:
            return head.exception


def _refs(key: str, counted: Counter[int | str]) -> set[int]:
    return {value for value in counted if isinstance(value, int)}
