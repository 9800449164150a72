# SPDX-License-Identifier: AGPL-3.0-only
"""Time, as an argument: code that needs it takes a `Clock`, and tests pass their own."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns microseconds since the epoch, UTC."""

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 86_400 * SECOND_US


def now_us() -> int:
    """The system's clock in microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000
