# SPDX-License-Identifier: AGPL-3.0-only
"""Windows of trends."""

import pytest

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.domain.trends.windows import Range, window

NOW_US = 1_800_000_123_456_789
LENGTHS = {"1h": 60 * MINUTE_US, "24h": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US}


@pytest.mark.parametrize("kind", list(Range))
def test_window_holds_whole_steps_and_ends_now(kind):
    found = window(kind, NOW_US)
    assert found.until_us == NOW_US
    assert found.since_us % found.sum_step_us == 0
    assert found.sum_step_us % found.step_us == 0 or found.step_us % found.sum_step_us == 0
    assert LENGTHS[kind] - found.sum_step_us < found.length_us <= LENGTHS[kind]


@pytest.mark.parametrize("kind", list(Range))
def test_the_time_before_ends_where_the_window_begins(kind):
    found = window(kind, NOW_US)
    before = found.before()
    assert before.until_us == found.since_us
    assert before.since_us % before.sum_step_us == 0
    assert before.length_us >= found.length_us
