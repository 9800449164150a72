# SPDX-License-Identifier: AGPL-3.0-only
"""The visible task: state, attempt, words and times that follow from a set of facts. Pure."""

from collections.abc import Iterable
from typing import cast

import msgspec

from queuedeck.history.facts import (
    AnyFact,
    Failed,
    Kind,
    Lost,
    Published,
    Received,
    Retrying,
    Started,
)
from queuedeck.history.states import (
    FIRST,
    KIND_BITS,
    STATE_AFTER,
    Facts,
    current_and_ran,
    ending_of,
    final_ending,
    get_fact,
    is_conflicting,
    key_of,
    measured_run,
    stamp_of,
)
from queuedeck.history.tasks import TaskState

_SECOND = 2 << KIND_BITS
"""The least key of a second attempt."""
_FIRST_CHECKED = FIRST << KIND_BITS | Kind.CHECKED
_FIRST_RETRY = FIRST << KIND_BITS | Kind.RETRYING
_PUBLISHED, _RECEIVED, _STARTED = (
    key_of(FIRST, kind) for kind in (Kind.PUBLISHED, Kind.RECEIVED, Kind.STARTED)
)
FIRST_ENDS = frozenset(range(_FIRST_RETRY, _SECOND))
"""Keys of all that can end a first attempt."""
_ERRORS = (Failed, Lost)
_NEVER_US = 1 << 63


class Derived(msgspec.Struct, frozen=True, gc=False):
    """What a set of facts says. Words are references, 0 when unknown."""

    state: TaskState
    attempt: int
    """The newest attempt that ran; 0 while none has."""
    conflicting: bool
    """An attempt reported more than one outcome."""
    name: int
    queue: int
    worker: int
    priority: int
    exception: int
    error: int
    """Key of the fact whose message and traceback belong to `exception`; 0 for none."""
    seen_us: int
    published_us: int | None
    started_us: int | None
    finished_us: int | None
    eta_us: int | None
    wait_us: int | None
    run_us: int | None


def derive(facts: Facts) -> Derived:
    """The visible task. `facts` holds at least one."""
    ending = None
    seen_us = _NEVER_US
    for key, fact in facts.items():
        if key >= _FIRST_RETRY:
            if ending is not None or key == _FIRST_RETRY or key >= _SECOND:
                return derive_any(facts)
            ending = fact
        if fact.at_us < seen_us:
            seen_us = fact.at_us
    if ending is None and _FIRST_CHECKED in facts:
        return derive_any(facts)
    return _derive_plain(facts, ending, seen_us)


def _derive_plain(facts: Facts, ending: AnyFact | None, seen_us: int) -> Derived:
    """The same as `derive_any` for one attempt with one ending, which nearly all tasks are: this
    runs for every task of every group.
    """
    published = cast("Published | None", facts.get(_PUBLISHED))
    received = cast("Received | None", facts.get(_RECEIVED))
    started = cast("Started | None", facts.get(_STARTED))
    ran = started is not None or (ending is not None and ending.kind_no is not Kind.CANCELLED)
    error = ending if isinstance(ending, _ERRORS) else None
    stamp = published.at_us if published else started.published_us if started else 0
    eta = (
        (published and published.eta_us)
        or (received and received.eta_us)
        or (started and started.eta_us)
        or 0
    )
    wait = started.at_us - max(stamp, eta) if started and stamp else -1
    if ending:
        state = STATE_AFTER[ending.kind_no]
    elif started:
        state = TaskState.RUNNING
    else:
        state = _waiting(published, received)
    name, queue = _name_and_queue(published, received, started, ending)
    held = (started, ending, received) if ran else (received, ending)
    return Derived(
        state,
        FIRST if ran else 0,
        False,
        name,
        queue,
        _first_worker(held),
        published.priority if published else -1,
        error.exception if isinstance(error, Failed) else 0,
        key_of(FIRST, error.kind_no) if error else 0,
        seen_us,
        stamp or None,
        started.at_us if started else None,
        ending.at_us if ending else None,
        eta or None,
        wait if wait >= 0 else None,
        measured_run(ending) if ran else None,
    )


def _name_and_queue(*known: AnyFact | None) -> tuple[int, int]:
    """As the first of these facts say that know them."""
    name = queue = 0
    for fact in known:
        if fact:
            name = name or fact.name
            queue = queue or fact.queue
            if name and queue:
                break
    return name, queue


def _first_worker(held: Iterable[AnyFact | None]) -> int:
    for fact in held:
        if fact and fact.worker:
            return fact.worker
    return 0


def derive_any(facts: Facts) -> Derived:
    """The visible task, whatever happened to it."""
    current, ran = current_and_ran(facts)
    ending = final_ending(facts, current)
    started = get_fact(facts, ran, Started)
    state = _state(facts, current, ending)
    error = _error(facts, ran, state)
    first = get_fact(facts, FIRST, Published)
    return Derived(
        state,
        ran,
        any(is_conflicting(facts, n) for n in {k >> KIND_BITS for k in facts}),
        first.name if first is not None and first.name else _first_name(facts),
        _queue(facts, current),
        _worker(facts, current, ran),
        first.priority if first is not None else -1,
        error.exception if isinstance(error, Failed | Retrying) else 0,
        _key_of_error(facts, error),
        min(fact.at_us for fact in facts.values()),
        stamp_of(facts) or None,
        None if started is None else started.at_us,
        None if ending is None else ending.at_us,
        _eta(facts, current) or None,
        None if started is None else wait_of(facts, started),
        _run(facts, ran),
    )


def _state(facts: Facts, current: int, ending: AnyFact | None) -> TaskState:
    if ending is not None:
        return STATE_AFTER[ending.kind_no]
    if key_of(current, Kind.STARTED) in facts:
        return TaskState.RUNNING
    if current > FIRST:
        return TaskState.RETRYING
    return _waiting(get_fact(facts, FIRST, Published), get_fact(facts, FIRST, Received))


def _waiting(published: Published | None, received: Received | None) -> TaskState:
    if published is not None:
        later = published.eta_us > published.at_us
    else:
        later = received is not None and received.eta_us > 0
    return TaskState.SCHEDULED if later else TaskState.QUEUED


def _error(facts: Facts, ran: int, state: TaskState) -> AnyFact | None:
    """The newest error, unless the task went well in the end."""
    if state is TaskState.SUCCEEDED:
        return None
    for attempt in (ran, ran - 1):
        fact = ending_of(facts, attempt)
        if isinstance(fact, Failed | Retrying | Lost):
            return fact
    return None


def _key_of_error(facts: Facts, error: AnyFact | None) -> int:
    """The fact that it stands in: what was only concluded stands in the answer."""
    if error is None:
        return 0
    key = key_of(error.attempt, error.kind_no)
    return key if key in facts else key_of(error.attempt, Kind.CHECKED)


def _first_name(facts: Facts) -> int:
    return next((facts[key].name for key in sorted(facts) if facts[key].name), 0)


def _queue(facts: Facts, current: int) -> int:
    """The newest attempt's queue: as published, else as the worker saw it."""
    base = current << KIND_BITS
    for kind in (Kind.PUBLISHED, Kind.RECEIVED, Kind.STARTED):
        fact = facts.get(base | kind)
        if fact is not None and fact.queue:
            return fact.queue
    order = sorted(facts, key=lambda k: (-(k >> KIND_BITS), k & 15))
    return next((facts[key].queue for key in order if facts[key].queue), 0)


def _worker(facts: Facts, current: int, ran: int) -> int:
    """Who runs or ran the newest attempt, or holds the one that waits."""
    if current > ran:
        for kind in (Kind.RECEIVED, Kind.CANCELLED):
            fact = facts.get(key_of(current, kind))
            if fact is not None and fact.worker:
                return fact.worker
    for fact in (
        get_fact(facts, ran, Started),
        ending_of(facts, ran),
        get_fact(facts, ran, Received),
    ):
        if fact is not None and fact.worker:
            return fact.worker
    return 0


def _eta(facts: Facts, current: int) -> int:
    for kind in (Published, Received, Started):
        fact = get_fact(facts, current, kind)
        if fact is not None and fact.eta_us:
            return fact.eta_us
    retry = get_fact(facts, current - 1, Retrying)
    return retry.next_us if retry is not None else 0


def wait_of(facts: Facts, started: Started) -> int | None:
    """From being due to starting, of one attempt. Two clocks may disagree: a negative time is
    unknown.
    """
    due = _due(facts, started.attempt)
    return started.at_us - due if due and started.at_us >= due else None


def _due(facts: Facts, attempt: int) -> int:
    if attempt == FIRST:
        stamp = stamp_of(facts)
        return max(stamp, _eta(facts, attempt)) if stamp else 0
    retry = get_fact(facts, attempt - 1, Retrying)
    if retry is not None:
        return retry.next_us or retry.at_us
    again = get_fact(facts, attempt, Published)
    return max(again.eta_us, again.at_us) if again is not None else 0


def _run(facts: Facts, ran: int) -> int | None:
    """Of the newest attempt that ended, as its worker measured it."""
    for attempt in (ran, ran - 1):
        fact = ending_of(facts, attempt)
        if fact is not None:
            return measured_run(fact)
    return None
