# SPDX-License-Identifier: AGPL-3.0-only
"""Sums up what the tasks of one group of events contribute, before it is added to the tables.
Pure. Most tasks have one attempt and end once: for them there is a short way to the same sums.
"""

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import FIRST_ENDS, Derived
from queuedeck.history.facts import AnyFact, Kind, Published, Started
from queuedeck.history.histogram import Histogram, bucket_of, merge_into
from queuedeck.history.rollups import ARRIVED, Contribution, differences
from queuedeck.history.states import FIRST, KIND_BITS, Facts, key_of

_PUBLISHED = key_of(FIRST, Kind.PUBLISHED)
_STARTED = key_of(FIRST, Kind.STARTED)
_CHECKED = key_of(FIRST, Kind.CHECKED)
_RETRY = key_of(FIRST, Kind.RETRYING)
_SECOND = FIRST + 1 << KIND_BITS
_KIND = (1 << KIND_BITS) - 1


class Cell(msgspec.Struct):
    """Counts of one key in one minute, or what a group adds to them."""

    n: int = 0
    run_us: int = 0
    """Sum of the run times: how long workers were busy with it."""
    wait: Histogram = {}
    run: Histogram = {}

    def add(self, other: "Cell") -> None:
        self.n += other.n
        self.run_us += other.run_us
        merge_into(self.wait, other.wait)
        merge_into(self.run, other.run)


TaskKey = tuple[int, int, int, int, int, int, int]
"""(project, minute, source, task, queue, release, outcome)"""
WorkerKey = tuple[int, int, int, int]
"""(project, minute, worker, outcome)"""


class Tally:
    """What one group adds, negative where a report corrects an older one."""

    def __init__(self) -> None:
        self.tasks: dict[TaskKey, Cell] = {}
        self.workers: dict[WorkerKey, Cell] = {}

    def count(self, project: int, source: int, before: Facts, after: Facts, seen: Derived) -> None:
        """Count one task, whose facts grew from `before` to `after`; `seen` is derived of these.

        Facts that both have are the same objects.
        """
        end = _only_end(after, seen)
        if end is None or end in before or _is_published_anew(before, after):
            for sign, one in differences(before, after, seen):
                self._add(project, source, sign, one)
            return
        fact = after.get(_PUBLISHED)
        if isinstance(fact, Published) and _PUBLISHED not in before:
            minute = fact.at_us // MINUTE_US
            key = (project, minute, source, fact.name, fact.queue, 0, ARRIVED)
            cell = self.tasks.get(key)
            if cell is None:
                cell = self.tasks[key] = Cell()
            cell.n += 1
        if end:
            self._add_ended(project, source, end & _KIND, after.get(_STARTED), seen)

    def _add_ended(
        self, project: int, source: int, outcome: int, started: AnyFact | None, seen: Derived
    ) -> None:
        minute = (seen.finished_us or 0) // MINUTE_US
        release = started.release if isinstance(started, Started) else 0
        key = (project, minute, source, seen.name, seen.queue, release, outcome)
        cell = self.tasks.get(key)
        if cell is None:
            cell = self.tasks[key] = Cell()
        cells = [cell]
        if seen.worker:
            own = (project, minute, seen.worker, outcome)
            cell = self.workers.get(own)
            if cell is None:
                cell = self.workers[own] = Cell()
            cells.append(cell)
        wait = -1 if seen.wait_us is None else bucket_of(seen.wait_us)
        run_us = seen.run_us
        run = -1 if run_us is None else bucket_of(run_us)
        for cell in cells:
            cell.n += 1
            if wait >= 0:
                cell.wait[wait] = cell.wait.get(wait, 0) + 1
            if run_us is not None:
                cell.run_us += run_us
                cell.run[run] = cell.run.get(run, 0) + 1

    def _add(self, project: int, source: int, sign: int, one: Contribution) -> None:
        """The long way, for any contribution."""
        key = (project, one.minute, source, one.task, one.queue, one.release, one.outcome)
        added = Cell(sign, sign * max(0, one.run_us))
        if one.wait_us >= 0:
            added.wait[bucket_of(one.wait_us)] = sign
        if one.run_us >= 0:
            added.run[bucket_of(one.run_us)] = sign
        self.tasks.setdefault(key, Cell()).add(added)
        if one.worker:
            own = (project, one.minute, one.worker, one.outcome)
            self.workers.setdefault(own, Cell()).add(added)


def _only_end(facts: Facts, seen: Derived) -> int | None:
    """The key of what ended the one attempt; 0 while it has not, None when there is more to it."""
    if max(facts) >= _SECOND or _RETRY in facts or _CHECKED in facts:
        return None
    if seen.finished_us is None:
        return 0
    ends = facts.keys() & FIRST_ENDS
    return ends.pop() if len(ends) == 1 else None


def _is_published_anew(before: Facts, after: Facts) -> bool:
    """Whether another publication was counted than the one that is known now."""
    return _PUBLISHED in before and before[_PUBLISHED] is not after[_PUBLISHED]
