# SPDX-License-Identifier: AGPL-3.0-only
"""Groups of failures as they are read back. Structs only."""

from enum import StrEnum

import msgspec

from queuedeck.history.tasks import Attempt, TaskRow


class FailureOrder(StrEnum):
    LAST = "last"
    COUNT = "count"
    FIRST = "first"


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Failed attempts that are the same failure."""

    id: int
    fingerprint: str
    """16 hex digits, the same for the same failures on every server: `group:` of a filter."""
    exception: str
    message: str
    """Without what differs each time."""
    culprit: str
    """Innermost frame of the application; empty when not known."""
    first_us: int
    last_us: int
    attempts: int
    """How many attempts failed so."""
    tasks: int
    """How many tasks they belong to."""
    recovered: int
    """How many of these tasks succeeded in the end."""
    names: list[tuple[str, int]]
    """Task names with their attempts, most first."""
    recent: list[int]
    """Attempts per hour of the last 24 hours, oldest first."""


class FailureOf(msgspec.Struct, frozen=True):
    """The failure group of one task's newest failed attempt."""

    group: int
    fingerprint: str
    recent: int
    """How many attempts failed so in the last day in which any did."""


class FailureGroups(msgspec.Struct, frozen=True, kw_only=True):
    groups: list[FailureGroup]
    total: int
    """How many groups the project has."""


class FailureDetail(msgspec.Struct, frozen=True, kw_only=True):
    group: FailureGroup
    since_us: int
    hours: list[int]
    """Attempts per hour from `since_us`."""
    queues: list[tuple[str, int]]
    releases: list[tuple[str, int]]
    tasks: list[TaskRow]
    """The newest tasks with this failure that are still kept."""
    sample: Attempt | None
    """The newest attempt that failed so, of the first of `tasks`."""
