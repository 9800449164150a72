# SPDX-License-Identifier: AGPL-3.0-only
"""The windows of time that trends can be asked for: how long, in which steps. Pure."""

from enum import StrEnum

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US

_HOUR_US = 60 * MINUTE_US


class Range(StrEnum):
    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


class Window(msgspec.Struct, frozen=True):
    """From a whole step to now."""

    since_us: int
    until_us: int
    step_us: int
    """Of a chart."""
    sum_step_us: int
    """In which the same time is summed up with fewer rows."""

    @property
    def length_us(self) -> int:
        return self.until_us - self.since_us

    def before(self) -> "Window":
        """The same length of time, just before, in whole steps of the sums."""
        steps = -(-self.length_us // self.sum_step_us)
        since = self.since_us - steps * self.sum_step_us
        return Window(since, self.since_us, self.step_us, self.sum_step_us)


class _Shape(msgspec.Struct, frozen=True):
    length_us: int
    step_us: int
    sum_step_us: int


_SHAPES = {
    Range.HOUR: _Shape(_HOUR_US, MINUTE_US, MINUTE_US),
    Range.DAY: _Shape(DAY_US, 15 * MINUTE_US, _HOUR_US),
    Range.WEEK: _Shape(7 * DAY_US, 2 * _HOUR_US, DAY_US),
    Range.MONTH: _Shape(30 * DAY_US, 6 * _HOUR_US, DAY_US),
}


def window(kind: Range, now_us: int) -> Window:
    """The last hour, day, week or month. Long ones begin at a full hour or day (UTC), so that what
    is summed up by hours and days is the same time: a week is today and the six days before.
    """
    shape = _SHAPES[kind]
    begun = now_us - now_us % shape.sum_step_us
    since = begun + shape.sum_step_us - shape.length_us
    return Window(since, now_us, shape.step_us, shape.sum_step_us)
