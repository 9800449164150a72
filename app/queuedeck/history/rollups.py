# SPDX-License-Identifier: AGPL-3.0-only
"""What a task adds to the counts per minute: one contribution for its publication and one for each
attempt that ended. Pure.

The rollups are the sum of the contributions of all tasks. A group of events adds what its tasks
contribute after it and takes away what they contributed before, so a late or a conflicting report
corrects the past, and repetition adds nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from queuedeck.clock import MINUTE_US
from queuedeck.history.derive import FIRST_ENDS, Derived, derive, wait_of
from queuedeck.history.facts import Cancelled, Kind, Published, Received, Started
from queuedeck.history.states import (
    FIRST,
    KEPT_ATTEMPTS,
    KIND_BITS,
    Facts,
    ending_of,
    get_fact,
    key_of,
    measured_run,
)

ARRIVED = int(Kind.PUBLISHED)
"""Stands among the outcomes for a publication. The others are the kinds of facts that end an
attempt; a retry is an outcome of its attempt.
"""
KEPT_DAYS = 400
"""For so many days counts are kept, minutes for fewer; a project may keep them for fewer days."""
UNKNOWN = -1
"""A wait or run time that nobody measured."""
_CHECKED = key_of(FIRST, Kind.CHECKED)
_PUBLICATION = key_of(FIRST, Kind.PUBLISHED)
_SECOND = FIRST + 1 << KIND_BITS


class Contribution(NamedTuple):
    """One attempt that ended, or one publication. Words are references, 0 when unknown."""

    minute: int
    """Minutes since the epoch, UTC, when it happened."""
    outcome: int
    task: int
    queue: int
    release: int
    worker: int
    wait_us: int
    run_us: int


Signed = tuple[int, Contribution]
"""1 or -1, and what is added or taken away."""


def contributions(facts: Facts) -> dict[int, Contribution]:
    """What a set of facts counts for, by attempt; the publication stands under 0."""
    found: dict[int, Contribution] = {}
    arrival = _arrival(facts)
    if arrival:
        found[0] = arrival
    seen: Derived | None = None
    for attempt in sorted({key >> KIND_BITS for key in facts}):
        ending = ending_of(facts, attempt)
        if ending is None:
            continue
        seen = seen or derive(facts)
        started = get_fact(facts, attempt, Started)
        wait = None if started is None else wait_of(facts, started)
        run = measured_run(ending)
        found[attempt] = Contribution(
            ending.at_us // MINUTE_US,
            int(ending.kind_no),
            seen.name,
            seen.queue,
            0 if started is None else started.release,
            _worker(facts, attempt),
            UNKNOWN if wait is None else wait,
            UNKNOWN if run is None else run,
        )
    return found


def differences(before: Facts, after: Facts, seen: Derived) -> Iterator[Signed]:
    """What has to be added and taken away when a task's facts grew. `seen` is `derive(after)`."""
    if not before and _is_plain(after):
        arrival = _arrival(after)
        if arrival:
            yield 1, arrival
        if seen.finished_us is not None:
            yield 1, _plain_ending(after, seen)
    elif _is_plain(after) and not before.keys() & FIRST_ENDS:
        if before.get(_PUBLICATION) != after.get(_PUBLICATION):
            yield from _changes({0: _arrival(before)}, {0: _arrival(after)})
        if seen.finished_us is not None:
            yield 1, _plain_ending(after, seen)
    else:
        yield from _changes(_kept(contributions(before), after), contributions(after))


def _is_plain(facts: Facts) -> bool:
    """One attempt with at most one ending that is no retry, of which nothing was concluded: then
    `derive` has said it all.
    """
    ends = facts.keys() & FIRST_ENDS
    return (
        max(facts) < _SECOND
        and _CHECKED not in facts
        and (not ends or (len(ends) == 1 and key_of(FIRST, Kind.RETRYING) not in ends))
    )


def _plain_ending(facts: Facts, seen: Derived) -> Contribution:
    outcome = next(iter(facts.keys() & FIRST_ENDS)) & (1 << KIND_BITS) - 1
    started = facts.get(key_of(FIRST, Kind.STARTED))
    return Contribution(
        (seen.finished_us or 0) // MINUTE_US,
        outcome,
        seen.name,
        seen.queue,
        started.release if isinstance(started, Started) else 0,
        seen.worker,
        UNKNOWN if seen.wait_us is None else seen.wait_us,
        UNKNOWN if seen.run_us is None else seen.run_us,
    )


def _changes(
    before: dict[int, Contribution | None] | dict[int, Contribution],
    after: dict[int, Contribution | None] | dict[int, Contribution],
) -> Iterator[Signed]:
    for attempt in before.keys() | after.keys():
        old, new = before.get(attempt), after.get(attempt)
        if old == new:
            continue
        if old is not None:
            yield -1, old
        if new is not None:
            yield 1, new


def _kept(before: dict[int, Contribution], after: Facts) -> dict[int, Contribution]:
    """Without the attempts whose facts were dropped since: they did end, and stay counted."""
    oldest = (max(after) >> KIND_BITS) - KEPT_ATTEMPTS
    return {n: one for n, one in before.items() if n <= FIRST or n > oldest}


def _arrival(facts: Facts) -> Contribution | None:
    fact = facts.get(_PUBLICATION)
    if not isinstance(fact, Published):
        return None
    minute = fact.at_us // MINUTE_US
    return Contribution(minute, ARRIVED, fact.name, fact.queue, 0, 0, UNKNOWN, UNKNOWN)


def _worker(facts: Facts, attempt: int) -> int:
    """Who ran it; who held it, for one that never ran."""
    started, ending = get_fact(facts, attempt, Started), ending_of(facts, attempt)
    received = get_fact(facts, attempt, Received)
    ran = started is not None or not isinstance(ending, Cancelled)
    held = (started, ending, received) if ran else (received, ending)
    return next((fact.worker for fact in held if fact and fact.worker), 0)
