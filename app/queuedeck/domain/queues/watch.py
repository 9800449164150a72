# SPDX-License-Identifier: AGPL-3.0-only
"""What agents last saw in the queues, and how deep these were in each minute of the last hour.

In memory; a loop keeps the minutes. A queue is named by its source and its name, so queues of the
same name on two brokers are two.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US, Clock, now_us
from queuedeck.history.queues import QueueHour
from queuedeck_agent import wire

MINUTES = 60
MAX_QUEUES = 2_000
"""Of one project; what was seen longest ago goes first."""
MAX_SOURCES = 200
"""The same for sources."""
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
    """The newest count of one queue."""

    depth: wire.QueueDepth
    seen_us: int
    oldest_us: int
    """As `depth.oldest_us`, by the server's clock."""


class Watches:
    """All projects. Use on the event loop only."""

    def __init__(self, clock: Clock = now_us) -> None:
        self._clock = clock
        self._sources: dict[int, dict[str, SourceWatch]] = {}
        self._queues: dict[int, dict[Key, QueueWatch]] = {}
        self._minutes: dict[tuple[int, Key], deque[tuple[int, int]]] = {}
        """(minute, the greatest count in it), oldest first."""

    def take(self, project_id: int, agent_id: str, snapshot: wire.QueueSnapshot) -> None:
        """What an agent saw. A queue that the source no longer names keeps its last count."""
        now = self._clock()
        sources = self._sources.setdefault(project_id, {})
        source = sources.pop(snapshot.source, None) or SourceWatch(agent_id, now)
        sources[snapshot.source] = source
        if len(sources) > MAX_SOURCES:
            del sources[next(iter(sources))]
        source.agent_id, source.tried_us = agent_id, now
        if snapshot.trouble:
            source.trouble_us = source.trouble_us or now
            source.trouble = snapshot.trouble
            return
        source.good_us, source.trouble, source.trouble_us = now, "", 0
        queues = self._queues.setdefault(project_id, {})
        for depth in snapshot.queues:
            key = (snapshot.source, depth.name)
            # The agent's clock may be wrong; how long ago something was is the same on both.
            oldest = now - max(0, snapshot.at_us - depth.oldest_us) if depth.oldest_us else 0
            queues.pop(key, None)
            queues[key] = QueueWatch(depth, now, oldest)
            if depth.waiting >= 0:
                self._count(project_id, key, now // MINUTE_US, depth.waiting)
        self._forget(project_id, queues, now)

    def source(self, project_id: int, source: str) -> SourceWatch | None:
        return self._sources.get(project_id, {}).get(source)

    def queues(self, project_id: int) -> dict[Key, QueueWatch]:
        found = self._queues.get(project_id, {})
        self._forget(project_id, found, self._clock())
        return found

    def series(self, project_id: int, key: Key) -> list[int | None]:
        """The last hour by minutes, oldest first; None where nothing was counted."""
        known = dict(self._minutes.get((project_id, key), ()))
        now = self._clock() // MINUTE_US
        return [known.get(minute) for minute in range(now - MINUTES + 1, now + 1)]

    def hours(self) -> list[QueueHour]:
        """What is known of this hour, and of the end of the one before: to be kept."""
        now = self._clock() // MINUTE_US
        found: list[QueueHour] = []
        for (project_id, (source, queue)), minutes in self._minutes.items():
            known = dict(minutes)
            # The hour before is whole in memory for as long as this one has just begun.
            for hour in {now // 60, (now - 1) // 60}:
                waiting = [known.get(minute) for minute in range(hour * 60, hour * 60 + 60)]
                if any(one is not None for one in waiting):
                    found.append(QueueHour(project_id, source, queue, hour, waiting))
        return found

    def restore(self, hours: Iterable[QueueHour]) -> None:
        """What was kept, oldest first: a server that starts again goes on with it."""
        oldest = self._clock() // MINUTE_US - MINUTES
        for hour in hours:
            for at, waiting in enumerate(hour.waiting):
                minute = hour.hour * 60 + at
                if waiting is not None and minute > oldest:
                    self._count(hour.project, (hour.source, hour.queue), minute, waiting)

    def _count(self, project_id: int, key: Key, minute: int, waiting: int) -> None:
        made = deque[tuple[int, int]](maxlen=MINUTES + 1)
        minutes = self._minutes.setdefault((project_id, key), made)
        if minutes and minutes[-1][0] == minute:
            waiting = max(waiting, minutes.pop()[1])
        minutes.append((minute, waiting))

    def _forget(self, project_id: int, queues: dict[Key, QueueWatch], now: int) -> None:
        """They stand in the order in which they were seen."""
        while queues:
            first = next(iter(queues))
            if len(queues) <= MAX_QUEUES and queues[first].seen_us > now - KEPT_US:
                return
            del queues[first]
            self._minutes.pop((project_id, first), None)
