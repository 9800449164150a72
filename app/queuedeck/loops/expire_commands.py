# SPDX-License-Identifier: AGPL-3.0-only
"""Ends commands that no agent took, or whose agent never answered, once their time is over."""

from queuedeck.domain.commands.delivery import EXPIRE_LIMIT, expire_due
from queuedeck.entrance.services import Services

INTERVAL_S = 5.0


async def expire_commands(services: Services) -> None:
    """One round: as many turns as there is work for."""
    while await expire_due(services) >= EXPIRE_LIMIT:
        pass
