# SPDX-License-Identifier: AGPL-3.0-only
"""What agents last saw in the queues, and how deep these were in each minute of the last hour.

In memory. A queue is named by its source and its name, so queues of the same name on two brokers
are two.
"""

from collections import deque

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US, Clock, now_us
from queuedeck_agent import wire

MINUTES = 60
MAX_QUEUES = 2_000
"""Of one project; what was seen longest ago goes first."""
KEPT_US = 1 * DAY_US
STALE_US = 30 * SECOND_US
"""What was counted longer ago is shown with its age."""

Key = tuple[str, str]
"""(source, queue)."""


class SourceWatch(msgspec.Struct):
    """How counting goes on one source."""

    agent_id: str
    tried_us: int
    """When an agent last said something of it, by the server's clock."""
    good_us: int = 0
    """When it was last counted; 0 for never."""
    trouble: str = ""
    """Why it could not be counted the last time; empty when it was."""
    trouble_us: int = 0
    """Since when."""


class QueueWatch(msgspec.Struct):
    """The newest count of one queue, and the greatest of each minute."""

    depth: wire.QueueDepth
    seen_us: int
    oldest_us: int
    """As `depth.oldest_us`, by the server's clock."""
    minutes: deque[tuple[int, int]]
    """(minute, waiting), oldest first."""

    def series(self, now_us: int) -> list[int | None]:
        """The last hour by minutes, oldest first; None where nothing was counted."""
        known = dict(self.minutes)
        now = now_us // MINUTE_US
        return [known.get(minute) for minute in range(now - MINUTES + 1, now + 1)]


class Watches:
    """All projects. Use on the event loop only."""

    def __init__(self, clock: Clock = now_us) -> None:
        self._clock = clock
        self._sources: dict[int, dict[str, SourceWatch]] = {}
        self._queues: dict[int, dict[Key, QueueWatch]] = {}

    def take(self, project_id: int, agent_id: str, snapshot: wire.QueueSnapshot) -> None:
        """What an agent saw. A queue that the source no longer names keeps its last count."""
        now = self._clock()
        sources = self._sources.setdefault(project_id, {})
        source = sources.setdefault(snapshot.source, SourceWatch(agent_id, now))
        source.agent_id, source.tried_us = agent_id, now
        if snapshot.trouble:
            source.trouble_us = source.trouble_us or now
            source.trouble = snapshot.trouble
            return
        source.good_us, source.trouble, source.trouble_us = now, "", 0
        queues = self._queues.setdefault(project_id, {})
        for depth in snapshot.queues:
            self._take(queues, (snapshot.source, depth.name), depth, snapshot.at_us, now)
        _forget(queues, now)

    def source(self, project_id: int, source: str) -> SourceWatch | None:
        return self._sources.get(project_id, {}).get(source)

    def queues(self, project_id: int) -> dict[Key, QueueWatch]:
        found = self._queues.get(project_id, {})
        _forget(found, self._clock())
        return found

    def _take(
        self, queues: dict[Key, QueueWatch], key: Key, depth: wire.QueueDepth, at_us: int, now: int
    ) -> None:
        # The agent's clock may be wrong; how long ago something was is the same on both.
        oldest = now - max(0, at_us - depth.oldest_us) if depth.oldest_us else 0
        known = queues.pop(key, None)
        minutes = known.minutes if known else deque[tuple[int, int]](maxlen=MINUTES)
        if depth.waiting >= 0:
            minute = now // MINUTE_US
            most = depth.waiting
            if minutes and minutes[-1][0] == minute:
                most = max(most, minutes.pop()[1])
            minutes.append((minute, most))
        queues[key] = QueueWatch(depth, now, oldest, minutes)


def _forget(queues: dict[Key, QueueWatch], now: int) -> None:
    """They stand in the order in which they were seen."""
    while queues:
        first = next(iter(queues))
        if len(queues) <= MAX_QUEUES and queues[first].seen_us > now - KEPT_US:
            return
        del queues[first]
