# SPDX-License-Identifier: AGPL-3.0-only
"""Asks workers that come while a queue is paused to pause too, those that come after it to go on,
and ends pauses whose time is over.
"""

from queuedeck.domain.queues.orders import carry_out
from queuedeck.domain.queues.pauses import end_due
from queuedeck.entrance.services import Services

PAUSE_EVERY_S = 1.0
"""So long a worker that has just connected may take from a paused queue, on a new host."""


async def keep_pauses(services: Services) -> None:
    """One round."""
    await end_due(services)
    for project_id in services.registry.projects():
        await carry_out(services, project_id)
