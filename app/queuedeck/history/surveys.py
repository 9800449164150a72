# SPDX-License-Identifier: AGPL-3.0-only
"""Counts of the newest tasks that match a question: by what they are, and over time."""

import msgspec

from queuedeck.history.tasks import TaskState


class FacetCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the newest matches have each value; the rest of the question holds for them."""

    values: dict[str, int]
    """The commonest, most first."""
    others: int
    """How many values there are beside these."""
    is_complete: bool
    """False: only the newest matches were counted."""
    looked_at: int
    """How many tasks were counted."""


class Facets(msgspec.Struct, frozen=True):
    by_key: dict[str, FacetCounts]
    """`state`, `task`, `label`, `queue`, `engine`, `worker`, `error` and `tag`."""


class HistogramBar(msgspec.Struct, frozen=True):
    at: int
    """Which bar, from 0."""
    states: dict[TaskState, int]


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """The newest matches by when they were first seen, and by state."""

    from_us: int
    bar_us: int
    count: int
    """How many bars there are; those with no task are not listed."""
    bars: list[HistogramBar]
    is_complete: bool
    looked_at: int
