# SPDX-License-Identifier: AGPL-3.0-only
"""Runs background work at an interval. A round that fails is logged, and the next one comes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from queuedeck.errors import Unavailable

_log = logging.getLogger("queuedeck.loops")

Round = Callable[[], Awaitable[object]]


class Runner:
    """All loops of one server. `start` inside the event loop, `stop` waits for rounds in hand."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, interval_s: float, work: Round) -> None:
        """Run `work` now and again `interval_s` after each end."""
        self._tasks.add(asyncio.create_task(_repeat(name, interval_s, work), name=name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()


async def _repeat(name: str, interval_s: float, work: Round) -> None:
    waits_for = ""
    while True:
        try:
            await work()
            waits_for = ""
        except Unavailable as error:
            # A database that is away for an hour is one line here, not thousands of tracebacks.
            if error.message != waits_for:
                _log.warning("The loop %r waits: %s", name, error.message)
            waits_for = error.message
        except Exception:  # noqa: BLE001 - logged; one bad round may not end the loop
            _log.exception("The loop %r failed; it tries again in %s s.", name, interval_s)
        await asyncio.sleep(interval_s)
