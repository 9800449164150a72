# SPDX-License-Identifier: AGPL-3.0-only
"""What many browsers ask for at the same moment is made once, and never shown after a change."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

from queuedeck.live import Live

KEEP_S = 1.0
"""So long an answer is given while nothing changes: what it says of times must not grow old."""
MOST_KEPT = 200


class _Answer(NamedTuple):
    version: int
    until: float
    made: asyncio.Task[str]


class Shared:
    """Answers by what was asked, for everybody who may see the same. Used on the event loop."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._answers: dict[Hashable, _Answer] = {}

    async def get(self, project_id: int, key: Hashable, make: Callable[[], Awaitable[str]]) -> str:
        """The answer that is at hand, also one that is still being made, or a new one.

        `key` must hold everything that the answer depends on beside the project's data. An answer
        that was begun before the last change of the project is not given to who asks after it.
        """
        now, version = asyncio.get_running_loop().time(), self._live.version(project_id)
        known = self._answers.get((project_id, key))
        if known is None or known.version != version or known.until < now:
            self._forget(now)
            known = _Answer(version, now + KEEP_S, asyncio.ensure_future(_made(make)))
            self._answers[project_id, key] = known
        # One browser that leaves does not take the answer from the others.
        return await asyncio.shield(known.made)

    def _forget(self, now: float) -> None:
        if len(self._answers) >= MOST_KEPT:
            self._answers = {k: one for k, one in self._answers.items() if one.until >= now}
        if len(self._answers) >= MOST_KEPT:
            self._answers.clear()


async def _made(make: Callable[[], Awaitable[str]]) -> str:
    return await make()
