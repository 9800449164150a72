# SPDX-License-Identifier: AGPL-3.0-only
"""Takes tasks that have ended into the index of words, a portion at a time, behind the writer."""

import asyncio

from queuedeck.entrance.services import Services

INDEX_EVERY_S = 1.0
PAUSE_S = 0.02
"""Between two portions."""
BUSY_PAUSE_S = 0.5
"""The same while events wait to be stored: they come first. The index is late, but never stops."""


async def index_words(services: Services) -> None:
    """One round: until everything that has ended is in the index."""
    while await services.history.index_words():  # noqa: ASYNC110 - what is awaited is a pause
        await asyncio.sleep(BUSY_PAUSE_S if services.ingest.is_behind else PAUSE_S)
