# SPDX-License-Identifier: AGPL-3.0-only
"""Counts over time: what is asked for, and the answers. Structs only."""

from enum import StrEnum

import msgspec


class TrendFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts are counted. Empty fields do not restrict. A worker stands alone."""

    task: str = ""
    queue: str = ""
    engine: str = ""
    release: str = ""
    worker: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of durations in microseconds, at most 1/32 off; None when none was measured."""

    n: int = 0
    """How many were measured."""
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in some time: publications, and attempts by how they ended."""

    arrived: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    """Attempts that failed and were to be repeated by the engine."""
    cancelled: int = 0
    lost: int = 0
    busy_us: int = 0
    """Sum of the run times: how long workers were busy."""
    wait: Spread = Spread()
    run: Spread = Spread()

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.retried + self.cancelled + self.lost

    @property
    def failing(self) -> int:
        """Attempts that went wrong, whether they were repeated or not."""
        return self.failed + self.retried + self.lost


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of equal steps, oldest first, and of all of them together."""

    since_us: int
    step_us: int
    points: list[Counts]
    total: Counts


class TaskTrend(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one task name. An empty name stands for tasks that nobody named."""

    name: str
    counts: Counts


class TaskTrends(msgspec.Struct, frozen=True, kw_only=True):
    tasks: list[TaskTrend]
    """Those with most attempts, or most trouble, first."""
    more: int
    """How many names are left out."""
    other: int
    """Attempts of names beyond the bound of the store, which are in no line."""


class TaskOrder(StrEnum):
    """By what a list of task names is sorted, greatest first."""

    ENDED = "ended"
    FAILING = "failing"
    SHARE = "share"
    """Share of attempts that went wrong."""
    BUSY = "busy"
