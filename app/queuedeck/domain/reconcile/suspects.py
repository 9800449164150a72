# SPDX-License-Identifier: AGPL-3.0-only
"""Which open tasks seem stuck, and when each may be asked about again. Pure."""

from collections.abc import Mapping, Set

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.domain.reconcile.processes import Holders
from queuedeck.history.facts import Verdict
from queuedeck.history.suspects import OpenTask
from queuedeck.history.tasks import TaskState

LONG_US = 60 * MINUTE_US
"""A run longer than this is asked about, where it is not known how long others ran."""
LEAST_LONG_US = 10 * MINUTE_US
TIMES_LONGER = 3
"""Than 99 of 100 runs of the task in the last week."""
WAITS_US = 5 * MINUTE_US
"""So long a task may wait while its queue is empty."""
MOST_BETWEEN_US = 60 * MINUTE_US
"""A task is asked about at least so often, while it seems stuck."""
MOST_REMEMBERED = 20_000


class Asked(msgspec.Struct, frozen=True):
    """When a task was last asked about."""

    at_us: int
    times: int
    able: frozenset[str]
    """The agents that could have answered: with others, another answer is possible."""


class Memory:
    """Of all projects; the oldest are forgotten, and asked about again."""

    def __init__(self) -> None:
        self._asked: dict[int, Asked] = {}

    def is_due(self, task: OpenTask, able: frozenset[str], now_us: int, every_us: int) -> bool:
        """Each time after twice as long. At once when another agent has come."""
        known = self._asked.get(task.key)
        if known is None:
            return now_us - task.checked_us >= every_us
        if able - known.able:
            return True
        wait_us = min(every_us << min(known.times, 20), MOST_BETWEEN_US)
        return now_us - known.at_us >= wait_us

    def note(self, task: OpenTask, able: frozenset[str], now_us: int) -> None:
        times = self.times(task) + 1
        self._asked.pop(task.key, None)
        self._asked[task.key] = Asked(now_us, times, able)
        while len(self._asked) > MOST_REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def times(self, task: OpenTask) -> int:
        known = self._asked.get(task.key)
        return known.times if known is not None else 0


class Surroundings(msgspec.Struct, frozen=True):
    """What else is known of a project at this moment."""

    now_us: int
    grace_us: int
    """So long an agent may be away before anybody asks."""
    longest_us: Mapping[str, int]
    """By task name: how long a run may take before it is asked about."""
    empty: Set[tuple[str, str]]
    """(source, queue) of queues in which nothing waits, counted just now."""


def is_suspicious(task: OpenTask, holders: Holders, around: Surroundings) -> bool:
    """Whether it is worth asking about."""
    if task.state is TaskState.RUNNING:
        return _is_left(holders, around) or _runs_long(task, around)
    if task.verdict is Verdict.LOST:
        return bool(holders.present)
    if task.state is TaskState.LOST:
        return False
    return _waits_long(task, around) or (bool(task.starts) and _is_left(holders, around))


def _is_left(holders: Holders, around: Surroundings) -> bool:
    """Whether a process that could have begun it is away."""
    last = max((agent.seen_us for agent in holders.left), default=holders.heard_us)
    return holders.is_in_doubt and around.now_us - last >= around.grace_us


def _runs_long(task: OpenTask, around: Surroundings) -> bool:
    return around.now_us - task.since_us > around.longest_us.get(task.name, LONG_US)


def _waits_long(task: OpenTask, around: Surroundings) -> bool:
    is_empty = (task.source, task.queue) in around.empty
    return is_empty and around.now_us - task.since_us > WAITS_US
