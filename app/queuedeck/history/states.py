# SPDX-License-Identifier: AGPL-3.0-only
"""The state rules: what is known of a task as a set of facts. Pure; `derive` shows what follows.

Facts are keyed by (attempt, kind); of two for one key the lesser (the earlier) stays. That is a
semilattice, so order, repetition and the way events were grouped cannot change anything, and no
clock decides a state.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from queuedeck.history.facts import (
    AnyFact,
    Cancelled,
    Checked,
    Failed,
    Kind,
    Lost,
    Published,
    Received,
    Retrying,
    Started,
    Succeeded,
    Verdict,
)
from queuedeck.history.tasks import TaskState

Facts = dict[int, AnyFact]
"""Key (see `key_of`) -> fact."""

KEPT_ATTEMPTS = 20
"""Facts of the first attempt and of so many newest ones are kept."""

LIVE_GENERATIONS = 2
"""So many newest generations of a re-used id can still receive events."""

FIRST = 1
KIND_BITS = 4

_ENDINGS = (Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED, Kind.LOST)
"""What ends an attempt for good, strongest first."""
STATE_AFTER = {
    Kind.STARTED: TaskState.RUNNING,
    Kind.RETRYING: TaskState.RETRYING,
    Kind.LOST: TaskState.LOST,
    Kind.CANCELLED: TaskState.CANCELLED,
    Kind.FAILED: TaskState.FAILED,
    Kind.SUCCEEDED: TaskState.SUCCEEDED,
}
_MEASURED = (Succeeded, Failed, Retrying)
_OUTCOMES = (Kind.RETRYING, Kind.CANCELLED, Kind.FAILED, Kind.SUCCEEDED)

F = TypeVar("F")


def key_of(attempt: int, kind: Kind) -> int:
    """Attempt and kind in one number that orders by attempt, then by rank."""
    return attempt << KIND_BITS | kind


def merge(facts: Facts, fact: AnyFact) -> list[AnyFact]:
    """Add a fact in place. Gives back the facts that have no place here: of two for one key the
    later, and those of attempts long past. Only a timeline has a use for them.
    """
    key = key_of(fact.attempt, fact.kind_no)
    old = facts.get(key)
    if old is not None:
        if isinstance(old, Started | Checked):
            return _merge_twice(facts, key, old, fact)
        if not fact < old:  # pyright: ignore[reportOperatorIssue] - same kind
            return [fact]
        facts[key] = fact
        return [old]
    if fact.attempt == FIRST:  # Always kept, and too old to push out another.
        facts[key] = fact
        return []
    newest = max(facts, default=key) >> KIND_BITS
    if not _is_kept(key, newest):
        return [fact]
    facts[key] = fact
    if fact.attempt > newest and fact.attempt > KEPT_ATTEMPTS:
        stale = [k for k in facts if not _is_kept(k, fact.attempt)]
        return [as_reported(facts.pop(k)) for k in stale]
    return []


def _merge_twice(facts: Facts, key: int, old: Started | Checked, fact: AnyFact) -> list[AnyFact]:
    """A second start of one attempt, whose time is kept with the first; or a newer answer."""
    if isinstance(fact, Started) and isinstance(old, Started):
        first, other = sorted((as_reported(old), as_reported(fact)))
        is_same = first == other
        again_us = max(old.again_us, fact.again_us, 0 if is_same else other.at_us)
        merged = msgspec.structs.replace(first, again_us=again_us)
        if merged == old:
            return [fact]
        facts[key] = merged
        return [] if is_same else [other]
    if not old < fact:  # pyright: ignore[reportOperatorIssue] - same kind
        return [fact]
    facts[key] = fact
    return []


def as_reported(fact: F) -> F:
    """The fact without what a first start remembers of another one."""
    if isinstance(fact, Started) and fact.again_us:
        return msgspec.structs.replace(fact, again_us=0)
    return fact


def is_known(facts: Facts, fact: AnyFact) -> bool:
    """Whether the facts hold exactly this one."""
    return fact == as_reported(facts.get(key_of(fact.attempt, fact.kind_no)))


def _is_kept(key: int, newest: int) -> bool:
    attempt = key >> KIND_BITS
    return attempt == FIRST or attempt > newest - KEPT_ATTEMPTS


def stamp_of(facts: Facts) -> int:
    """When the task was published, by the publisher's own stamp; 0 if nobody said."""
    published = get_fact(facts, FIRST, Published)
    if published is not None:
        return published.at_us
    started = get_fact(facts, FIRST, Started)
    return started.published_us if started is not None else 0


def is_final(facts: Facts) -> bool:
    """Whether the task has ended, as far as is known."""
    return final_ending(facts, current_and_ran(facts)[0]) is not None


def generation_of(fact: AnyFact, known: Sequence[tuple[int, Facts]]) -> int:
    """The generation of an id that a fact belongs to; `known` has the newest first.

    Only the stamp of a first publication can open another one, and only when the task that the id
    names now has ended: a late report of the publication we know is no new task.
    """
    if not known:
        return FIRST
    newest, facts = known[0]
    stamp = _first_stamp(fact)
    if not stamp:
        return newest
    for generation, older in known[:LIVE_GENERATIONS]:
        if stamp_of(older) == stamp:
            return generation
    return newest + 1 if stamp_of(facts) and is_final(facts) else newest


def _first_stamp(fact: AnyFact) -> int:
    if fact.attempt != FIRST:
        return 0
    if type(fact) is Published:
        return fact.at_us
    return fact.published_us if type(fact) is Started else 0


def attempts_of(facts: Facts) -> list[int]:
    """The attempts that ran or ended, newest first."""
    numbers = {k >> KIND_BITS for k in facts if k & 15 >= Kind.STARTED}
    return sorted(numbers, reverse=True)


def attempt_state(facts: Facts, attempt: int) -> TaskState:
    """How one attempt stands by itself."""
    kinds = [kind for kind in Kind if key_of(attempt, kind) in facts]
    if Kind.LOST in kinds and Kind.RETRYING in kinds:
        kinds.remove(Kind.LOST)
    weak = weak_ending(facts, attempt) if max(kinds, default=0) <= Kind.STARTED else None
    if weak is not None:
        return STATE_AFTER[weak.kind_no]
    return STATE_AFTER.get(max(kinds, default=Kind.PUBLISHED), TaskState.QUEUED)


def ending_of(facts: Facts, attempt: int) -> AnyFact | None:
    """The fact that ended an attempt, a retry included; None while it runs."""
    strong = final_ending(facts, attempt)
    if strong is not None and strong.kind_no is not Kind.LOST:
        return strong
    return facts.get(key_of(attempt, Kind.RETRYING)) or strong


def measured_run(ending: AnyFact | None) -> int | None:
    """How long an attempt ran by its worker's own count; None when nobody measured."""
    if isinstance(ending, _MEASURED) and ending.run_us >= 0:
        return ending.run_us
    return None


def is_conflicting(facts: Facts, attempt: int) -> bool:
    base = attempt << KIND_BITS
    return sum(base | kind in facts for kind in _OUTCOMES) > 1


def current_and_ran(facts: Facts) -> tuple[int, int]:
    """The attempt that decides the state, and the newest that ran."""
    current = ran = 0
    for key in facts:
        attempt, kind = key >> KIND_BITS, key & 15
        if kind >= Kind.STARTED and kind != Kind.CANCELLED:
            ran = max(ran, attempt)
        current = max(current, attempt + 1 if kind == Kind.RETRYING else attempt)
    return current, ran


def final_ending(facts: Facts, attempt: int) -> AnyFact | None:
    """The strongest fact that ended an attempt for good; a retry is none. Without one, what was
    concluded when the engine was asked."""
    base = attempt << KIND_BITS
    for kind in _ENDINGS:
        fact = facts.get(base | kind)
        if fact is not None:
            return fact
    return weak_ending(facts, attempt) if base in facts else None


def weak_ending(facts: Facts, attempt: int) -> AnyFact | None:
    """How an attempt ended by what was concluded, in the form of a fact; None where nothing says
    so, or where it began again since."""
    checked = get_fact(facts, attempt, Checked)
    if checked is None or key_of(attempt, Kind.RETRYING) in facts:
        return None
    if checked.about_us != newest_start(facts, attempt):
        return None
    about = (checked.at_us, attempt, 0, checked.worker)
    match checked.verdict:
        case Verdict.SUCCEEDED:
            return Succeeded(*about)
        case Verdict.FAILED:
            return Failed(*about, message=checked.text)
        case Verdict.CANCELLED:
            return Cancelled(*about)
        case Verdict.LOST:
            return Lost(*about, message=checked.text)
        case _:
            return None


def newest_start(facts: Facts, attempt: int) -> int:
    """When the attempt began last, by whoever began it; 0 if nobody did."""
    started = get_fact(facts, attempt, Started)
    return max(started.at_us, started.again_us) if started is not None else 0


_KINDS: dict[type, Kind] = {
    one: one.kind_no
    for one in (Checked, Published, Received, Started, Retrying, Lost, Cancelled, Failed, Succeeded)
}


def get_fact(facts: Facts, attempt: int, kind: type[F]) -> F | None:
    """The fact of a kind about an attempt."""
    fact = facts.get(attempt << KIND_BITS | _KINDS[kind])
    return fact if isinstance(fact, kind) else None
