# SPDX-License-Identifier: AGPL-3.0-only
"""Makes rollups of long times of those of short ones, in steps between the groups of events."""

import asyncio

from queuedeck.entrance.services import Services

INTERVAL_S = 60.0
PAUSE_S = 0.01
"""Between two steps, so that groups of events need not queue behind them."""


async def sum_counts(services: Services) -> None:
    """One round: all that is over."""
    more = True
    while more:
        more = await services.history.sum_up()
        await asyncio.sleep(PAUSE_S)
