# SPDX-License-Identifier: AGPL-3.0-only
"""What the rollups know of one queue. Two sources may have queues of the same name."""

import msgspec

from queuedeck.history.trends import Spread


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of some time. An attempt that is retried goes out, and comes in again."""

    source: str
    queue: str
    arrived: int = 0
    """Tasks that were published."""
    retried: int = 0
    ended: int = 0
    """Attempts that ended, retried ones included."""
    wait: Spread = Spread()
    """How long they had waited when they started."""


class QueueHour(msgspec.Struct, frozen=True):
    """How deep a queue was in an hour."""

    project: int
    source: str
    queue: str
    hour: int
    """Since the epoch."""
    waiting: list[int | None]
    """The greatest count of each of its 60 minutes; None where nothing was counted."""


class QueueSource(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    engine: str
    name: str
