# SPDX-License-Identifier: AGPL-3.0-only
"""Moves operations on: freezes their sets, lets armed ones begin, sends their commands in small
batches, ends them.
"""

import asyncio
import logging

from queuedeck.clock import SECOND_US
from queuedeck.domain.operations.progress import active_operations, step
from queuedeck.entrance.services import Services
from queuedeck.errors import QueuedeckError, Unavailable

INTERVAL_S = 0.25
TURNS, BETWEEN_S = 5, 0.05
"""While there is something to do it is looked at more often."""
SETTLED_US = 60 * SECOND_US
"""So long agents have to come back after a start of the server."""

_log = logging.getLogger("queuedeck.loops")


class RunOperations:
    """One round: short steps of each in turn, so that none waits for another."""

    def __init__(self, services: Services, settled_us: int = SETTLED_US) -> None:
        self._services = services
        self._settled_at = services.clock() + settled_us

    async def round(self) -> None:
        for _ in range(TURNS):
            if not await self._turn():
                return
            await asyncio.sleep(BETWEEN_S)

    async def _turn(self) -> bool:
        """Says whether there is any operation to move on."""
        settled = self._services.clock() >= self._settled_at
        active = await active_operations(self._services)
        for operation, slug in active:
            try:
                await step(self._services, operation, slug, settled=settled)
            except Unavailable:
                raise
            except QueuedeckError as error:
                _log.warning("The operation %s waits: %s", operation.id, error.message)
        return bool(active)
