# SPDX-License-Identifier: AGPL-3.0-only
"""Times of a question become numbers when it is asked."""

import pytest

from queuedeck.history.ranges import Between, Instant, InstantKind, Period

H, DAY = 3_600_000_000, 86_400_000_000
TODAY = 20_000 * DAY
NOW = TODAY + 10 * H


def ago(hours):
    return Instant(InstantKind.AGO, hours * H)


def clock(hours):
    return Instant(InstantKind.CLOCK, hours * H)


def utc(us):
    return Instant(InstantKind.UTC, us)


RESOLVED = {
    "last two hours": (Period(ago(2)), Between(NOW - 2 * H)),
    "before two hours ago": (Period(None, ago(2)), Between(None, NOW - 2 * H - 1)),
    "absolute": (Period(utc(5), utc(9)), Between(5, 8)),
    "this morning": (Period(clock(8), clock(9)), Between(TODAY + 8 * H, TODAY + 9 * H - 1)),
    "still going on": (Period(clock(9), clock(12)), Between(TODAY + 9 * H, TODAY + 12 * H - 1)),
    "not yet today": (Period(clock(14), clock(15)), Between(TODAY - 10 * H, TODAY - 9 * H - 1)),
    "over midnight": (Period(clock(23), clock(1)), Between(TODAY - H, TODAY + H - 1)),
    "until this morning": (Period(None, clock(9)), Between(None, TODAY + 9 * H - 1)),
    "until last evening": (Period(None, clock(20)), Between(None, TODAY - 4 * H - 1)),
    "a day on to a time": (
        Period(utc(TODAY - DAY), clock(1)), Between(TODAY - DAY, TODAY - 23 * H - 1)
    ),
    "from a time to now": (Period(clock(9), ago(0)), Between(TODAY + 9 * H, NOW - 1)),
    "last minute of a day": (Period(clock(23), clock(24)), Between(TODAY - H, TODAY - 1)),
}  # fmt: skip


@pytest.mark.parametrize(("when", "expected"), RESOLVED.values(), ids=RESOLVED)
def test_period_is_resolved(when, expected):
    assert when.resolve(NOW) == expected
