# SPDX-License-Identifier: AGPL-3.0-only
"""Drops tasks that are no longer kept, by the server or by their project, in short steps between
which events are stored.
"""

import asyncio

from queuedeck.domain.projects.retention import projects_that_keep_less
from queuedeck.entrance.services import Services

INTERVAL_S = 60.0
PAUSE_S = 0.01
"""Between two steps, so that groups of events need not queue behind them."""


async def retain(services: Services) -> None:
    """One round: as many steps as there is work for."""
    days, size = services.settings.retention_days, services.settings.retention_bytes
    more = True
    while more:
        more = await services.history.tidy(days, size)
        await asyncio.sleep(PAUSE_S)
    for kept in await projects_that_keep_less(services.control, days):
        more = True
        while more:
            more = await services.history.thin(kept)
            await asyncio.sleep(PAUSE_S)
    await services.history.rest()
