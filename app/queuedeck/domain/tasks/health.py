# SPDX-License-Identifier: AGPL-3.0-only
"""Whether events can be stored now, by how the last attempts went: for each page and `/readyz`.

Asking the disk would not do: an empty transaction commits on a full one.
"""

import msgspec

from queuedeck.clock import MINUTE_US, Clock

OVER_US = 2 * MINUTE_US
"""Agents try again within a minute: when none came for so long, nobody waits any more."""


class Trouble(msgspec.Struct, frozen=True):
    """Events are not being stored."""

    reason: str
    """What the store says, and what to do."""
    since_us: int
    """The first refusal after the last success."""


class StoreHealth:
    """What ingest notes after each attempt to store a group."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trouble: Trouble | None = None
        self._refused_us = 0

    def note_stored(self) -> None:
        self._trouble = None

    def note_refused(self, reason: str) -> None:
        known = self.trouble()
        self._refused_us = self._clock()
        self._trouble = Trouble(reason, known.since_us if known else self._refused_us)

    def trouble(self) -> Trouble | None:
        """None while events are stored, and when nobody has tried for long."""
        if self._clock() - self._refused_us > OVER_US:
            return None
        return self._trouble
