# SPDX-License-Identifier: AGPL-3.0-only
"""Deletes commands and operations that are no longer kept, in slices between which others write."""

import asyncio

from queuedeck.domain.commands.prune import delete_commands, forget_payloads
from queuedeck.domain.operations.prune import delete_operations
from queuedeck.domain.projects.retention import kept_by_projects
from queuedeck.entrance.services import Services

INTERVAL_S = 600.0
PAUSE_S = 0.01


async def prune_commands(services: Services) -> None:
    """One round: as many slices as there are, of each project."""
    for kept in await kept_by_projects(services.control, services.settings.retention_days):
        for prune in (forget_payloads, delete_commands, delete_operations):
            more = True
            while more:
                more = await prune(services.control, kept, services.clock()) > 0
                await asyncio.sleep(PAUSE_S)
