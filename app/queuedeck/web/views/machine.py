# SPDX-License-Identifier: AGPL-3.0-only
"""The strip that shows which way a task went through the states."""

import msgspec

from queuedeck.history.tasks import FINAL_STATES, Attempt, TaskDetail, TaskRow, TaskState
from queuedeck.history.trends import Counts, Spread
from queuedeck.web.format import Moment, duration, moment_clock
from queuedeck.web.views.words import STATE_WORDS

_TIMES = {2: "twice"}


class Node(msgspec.Struct, frozen=True):
    state: str
    word: str
    reached: bool = False
    moment: Moment | None = None
    note: str = ""
    """Stands where the time would, when there is none."""


class Edge(msgspec.Struct, frozen=True):
    travelled: bool
    text: str = ""
    usual: str = ""
    """What it usually takes for tasks of this name."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    scheduled: Node
    to_queued: Edge
    queued: Node
    to_running: Edge
    running: Node
    to_end: Edge
    end: Node
    others: tuple[Node, ...]
    again: Node | None
    backoff: str


def machine(detail: TaskDetail, usual: Counts | None = None) -> Machine:
    row, attempts = detail.row, detail.attempts
    started = [attempt for attempt in attempts if attempt.started_us]
    first_start = started[-1].started_us if started else None
    ended = row.state in FINAL_STATES
    ran_us = sum(attempt.run_us or 0 for attempt in attempts)
    others = [s for s in TaskState if s in FINAL_STATES and s is not row.state]
    due_us = _due_us(row, first_start)
    return Machine(
        scheduled=_scheduled(row, due_us),
        to_queued=Edge(due_us is not None and row.state is not TaskState.SCHEDULED),
        queued=_queued(row, due_us, first_start),
        to_running=Edge(
            bool(started),
            f"wait {duration(row.wait_us)}" if row.wait_us else "",
            _usual(usual.wait) if usual and row.wait_us else "",
        ),
        running=_running(len(started), first_start, row.state),
        to_end=Edge(
            ended,
            f"ran {duration(ran_us)}" if ran_us else "",
            _usual(usual.run) if usual and ran_us else "",
        ),
        end=_end(row.state, row.finished_us),
        others=tuple(Node(s.value, STATE_WORDS[s]) for s in (others if ended else others[1:])),
        again=_again(attempts),
        backoff=_backoff(attempts),
    )


def _usual(spread: Spread) -> str:
    return f"p95 {duration(spread.p95)}" if spread.n > 1 else ""


def _due_us(row: TaskRow, first_start: int | None) -> int | None:
    """When it was first due. A later date is that of an engine's own retry."""
    if row.eta_us is None or (first_start is not None and row.eta_us > first_start):
        return None
    return row.eta_us


def _scheduled(row: TaskRow, due_us: int | None) -> Node:
    word = STATE_WORDS[TaskState.SCHEDULED]
    if due_us is None:
        return Node("scheduled", word, note="no delay")
    return Node("scheduled", word, True, moment_clock(row.published_us or row.seen_us))


def _queued(row: TaskRow, due_us: int | None, first_start: int | None) -> Node:
    if row.state is TaskState.SCHEDULED and due_us is not None:
        return Node("queued", "Due", moment=moment_clock(due_us))
    word = STATE_WORDS[TaskState.QUEUED]
    at_us = due_us or row.published_us
    if at_us:
        return Node("queued", word, True, moment_clock(at_us))
    if first_start:
        return Node("queued", word, True, note="sent without an agent")
    reached = row.state is TaskState.QUEUED
    return Node("queued", word, reached, note="" if reached else "not yet")


def _running(times: int, first_start: int | None, state: TaskState) -> Node:
    if not times or first_start is None:
        note = "never" if state in FINAL_STATES else "not yet"
        return Node("running", STATE_WORDS[TaskState.RUNNING], note=note)
    word = f"Ran {_often(times)}"
    if times == 1:
        word = "Running" if state is TaskState.RUNNING else "Ran once"
    return Node("running", word, True, moment_clock(first_start))


def _end(state: TaskState, finished_us: int | None) -> Node:
    if state not in FINAL_STATES:
        return Node("succeeded", "Not ended", note="no outcome yet")
    moment = moment_clock(finished_us) if finished_us else None
    return Node(state.value, STATE_WORDS[state], True, moment, "time not known")


def _again(attempts: list[Attempt]) -> Node | None:
    retried = [a for a in attempts if a.state is TaskState.RETRYING]
    if not retried:
        return None
    last = retried[0].finished_us or retried[0].started_us
    word = "Retried once" if len(retried) == 1 else f"Retried {_often(len(retried))}"
    return Node("retrying", word, True, moment_clock(last) if last else None)


def _backoff(attempts: list[Attempt]) -> str:
    waits = [
        duration(max(0, a.next_us - a.finished_us))
        for a in reversed(attempts)
        if a.next_us and a.finished_us
    ]
    shown = waits if len(waits) <= 3 else [*waits[:2], "…"]
    return f"backoff {', '.join(shown)}" if shown else "backoff not told"


def _often(times: int) -> str:
    return _TIMES.get(times, f"{times} times")
