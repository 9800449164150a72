# SPDX-License-Identifier: AGPL-3.0-only
"""What an operation may do with one task, and how fast. Pure: previews and runs ask the same."""

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.history.tasks import FINAL_STATES, SelectedTask, TaskState
from queuedeck_agent import wire

VERBS: dict[str, Permission] = {
    "retry": Permission.RETRY,
    "requeue": Permission.RETRY,
    "cancel": Permission.CANCEL,
    "move": Permission.MOVE,
    "priority": Permission.MOVE,
}
"""What can be asked for many tasks, and the permission that each of its acts needs."""

ARMED_US = 10 * SECOND_US
"""So long an operation stands still after it was confirmed."""
DEFAULT_RATE, MAX_RATE = 50, 500
MAX_OPEN = 200
"""Commands of one operation that are on their way at once."""
BURST_US = SECOND_US
"""After a pause, no more than the rate of this time is made up for."""
SLOW_HOLD_US = 5 * SECOND_US
CANARY_SHARE = 0.8
"""This share of the first tasks must have gone well."""
MAX_CANARY = 1_000
MAX_KEYS = 10_000
MAX_REASON = 1_000

_GIVEN_UP = frozenset({TaskState.FAILED, TaskState.LOST, TaskState.CANCELLED})
_WAITING = frozenset({TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RETRYING})


class Skip(msgspec.Struct, frozen=True):
    """Why a task is passed over."""

    code: str
    """`state`, `call`, `retried`, `place`, `gone`, `asked`, `agent`, `policy` or `key`."""
    message: str


GONE = Skip("gone", "It is no longer kept.")
ENDED = Skip("state", "It has ended: there is nothing to cancel.")
NOT_ENDED = Skip("state", "It has not ended.")
NOT_GIVEN_UP = Skip("state", "It was not given up.")
NOT_WAITING = Skip("state", "It does not wait in a queue.")
NO_CALL = Skip("call", "Its original arguments were not captured, or were larger than 16 KiB.")
RETRIED = Skip("retried", "It was retried already.")
THERE = Skip("place", "It is in that queue already.")


def judge(verb: str, task: SelectedTask, details: wire.CommandDetails) -> Skip | str:
    """The verb of the command for this task as it is now, or why there is none. Whether an agent
    would do it is another question.
    """
    state = task.state
    if verb == "retry":
        return _judge_retry(task)
    if verb == "cancel":
        if state in FINAL_STATES:
            return ENDED
        return "terminate" if state is TaskState.RUNNING else "cancel"
    if verb == "requeue":
        return verb if state in _GIVEN_UP else NOT_GIVEN_UP
    if state not in _WAITING:
        return NOT_WAITING
    return THERE if verb == "move" and task.queue == details.queue else verb


def _judge_retry(task: SelectedTask) -> Skip | str:
    if task.state not in FINAL_STATES:
        return NOT_ENDED
    if task.retried_as:
        return RETRIED
    return "retry" if task.has_call else NO_CALL


class Turn(msgspec.Struct, frozen=True):
    """How many commands may be written now, and the rate's new mark once they are."""

    allowed: int
    paced_us: int
    rate: int

    def used(self, count: int) -> int:
        return self.paced_us + count * SECOND_US // self.rate


def turn(now_us: int, paced_us: int, rate: int, open_count: int) -> Turn:
    """A token bucket of one mark in time: it is in the row, so a restart neither forgets what was
    sent nor makes up for the time in which nothing was.
    """
    paced_us = max(paced_us, now_us - BURST_US)
    tokens = max(0, (now_us - paced_us) * rate // SECOND_US)
    return Turn(min(tokens, max(0, MAX_OPEN - open_count)), paced_us, rate)


class Tries(msgspec.Struct, frozen=True):
    """How the first tasks fared."""

    good: int
    bad: int
    undecided: int


def canary_verdict(tries: Tries) -> str:
    """`passed`, `failed`, or empty while that is open."""
    total = tries.good + tries.bad + tries.undecided
    if tries.good >= CANARY_SHARE * total:
        return "passed" if tries.undecided == 0 else ""
    if tries.good + tries.undecided < CANARY_SHARE * total:
        return "failed"
    return ""
