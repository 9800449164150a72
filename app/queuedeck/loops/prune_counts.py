# SPDX-License-Identifier: AGPL-3.0-only
"""Deletes rollups that are older than they are kept, here or by their project, in slices between
the groups of events.
"""

from queuedeck.domain.projects.retention import days_of_counts
from queuedeck.entrance.services import Services

INTERVAL_S = 600.0


async def prune_counts(services: Services) -> None:
    """One round: as many slices as there are."""
    kept = await days_of_counts(services.control)
    while await services.history.prune_counts(kept):
        pass
