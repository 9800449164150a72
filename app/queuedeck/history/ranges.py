# SPDX-License-Identifier: AGPL-3.0-only
"""Ranges of numbers and of times, as questions hold them. Pure.

Times may be relative, so that an address means the same question tomorrow: they are made
into numbers only when the question is asked.
"""

from enum import StrEnum

import msgspec

from queuedeck.clock import DAY_US


class Between(msgspec.Struct, frozen=True):
    """Numbers from `low` to `high`, both included; None leaves that end open."""

    low: int | None = None
    high: int | None = None


class InstantKind(StrEnum):
    UTC = "utc"
    """`us` since the epoch."""
    CLOCK = "clock"
    """`us` since midnight UTC, of the day that the rest of the range says."""
    AGO = "ago"
    """`us` before the question is asked."""


class Instant(msgspec.Struct, frozen=True):
    kind: InstantKind
    us: int


class Period(msgspec.Struct, frozen=True):
    """Times from `low`, included, to `high`, not included; None leaves that end open."""

    low: Instant | None = None
    high: Instant | None = None

    def resolve(self, now_us: int) -> Between:
        """The period in microseconds. A time of day is the last one that has begun."""
        low = None if self.low is None else _last(self.low, now_us)
        if self.high is None:
            return Between(low, None)
        if low is not None and self.high.kind is InstantKind.CLOCK:
            return Between(low, _next_clock(self.high.us, low) - 1)
        return Between(low, _last(self.high, now_us) - 1)


def _last(instant: Instant, now_us: int) -> int:
    match instant.kind:
        case InstantKind.UTC:
            return instant.us
        case InstantKind.AGO:
            return now_us - instant.us
        case InstantKind.CLOCK:
            at_us = now_us // DAY_US * DAY_US + instant.us
            return at_us if at_us <= now_us else at_us - DAY_US


def _next_clock(clock_us: int, after_us: int) -> int:
    at_us = after_us // DAY_US * DAY_US + clock_us
    return at_us if at_us > after_us else at_us + DAY_US
