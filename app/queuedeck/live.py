# SPDX-License-Identifier: AGPL-3.0-only
"""Publish topics after commit; subscribe as an async iterator. Topics carry no data: whoever
hears one fetches again what it shows, with its own permissions and filters.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable


class Live:
    """In-process hub. Slow subscribers cost nothing: topics are a set and coalesce."""

    def __init__(self) -> None:
        self._subscribers: set[Subscription] = set()
        self._versions: Counter[int] = Counter()
        self._stopped = False

    def publish(self, project_id: int, topics: Iterable[str]) -> None:
        """Tell subscribers of the project. Call after the commit, on the event loop."""
        changed = frozenset(topics)
        self._versions[project_id] += 1
        for subscriber in self._subscribers:
            if subscriber.project_id == project_id:
                subscriber.add(changed)

    def version(self, project_id: int) -> int:
        """Another number after each change of the project that was told."""
        return self._versions[project_id]

    def subscribe(self, project_id: int) -> "Subscription":
        subscription = Subscription(self, project_id)
        if self._stopped:
            subscription.end()
        else:
            self._subscribers.add(subscription)
        return subscription

    def leave(self, subscription: "Subscription") -> None:
        self._subscribers.discard(subscription)

    def stop(self) -> None:
        """End every subscription, so that open streams finish and the server can stop."""
        self._stopped = True
        for subscriber in list(self._subscribers):
            subscriber.end()

    @property
    def count(self) -> int:
        return len(self._subscribers)


class Subscription:
    """Iterate to receive sets of topics, at most one set each `interval_s`; close when done."""

    def __init__(self, live: Live, project_id: int) -> None:
        self.project_id = project_id
        self._live = live
        self._topics: set[str] = set()
        self._changed = asyncio.Event()
        self._ended = False

    def add(self, topics: frozenset[str]) -> None:
        self._topics |= topics
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def close(self) -> None:
        self._live.leave(self)

    async def batches(self, interval_s: float, idle_s: float) -> AsyncIterator[frozenset[str]]:
        """Sets of topics; an empty set after `idle_s` of silence, for a keep-alive line."""
        while not self._ended:
            try:
                await asyncio.wait_for(self._changed.wait(), idle_s)
            except TimeoutError:
                yield frozenset()
                continue
            self._changed.clear()
            topics, self._topics = frozenset(self._topics), set()
            if topics:
                yield topics
                await asyncio.sleep(interval_s)
