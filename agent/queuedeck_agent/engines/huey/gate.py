# SPDX-License-Identifier: Apache-2.0
"""The gate before a consumer's queue: shut for a pause, and for a consumer that is being drained.

Its workers may be processes. A pause is a file that all of them read; the draining of this one
consumer is a byte that it shares with the workers it forks.
"""

import mmap
import time
from typing import Any

from queuedeck_agent.paused import LOOK_AGAIN_S, Paused

TURN_S = 0.2
"""So long a worker waits at the gate, then looks again."""
_MARGIN_S = 0.3


class Gate:
    """Of one storage in this process, which has one consumer at most."""

    def __init__(self, paused: Paused, source: str) -> None:
        self._paused = paused
        self._source = source
        self._drained: mmap.mmap | None = None
        self._consumer: Any = None

    def install(self, consumer: Any) -> None:
        """Before the workers are forked."""
        self._consumer = consumer
        self._drained = mmap.mmap(-1, 1)

    @property
    def is_drained(self) -> bool:
        return self._drained is not None and self._drained[0] != 0

    @is_drained.setter
    def is_drained(self, drained: bool) -> None:
        if self._drained is not None:
            self._drained[0] = int(drained)

    def is_shut(self, queue: str) -> bool:
        """Asked whenever a worker is about to take a task. Code that takes tasks by itself, where
        there is no consumer, is left alone."""
        if self._consumer is None:
            return False
        return self.is_drained or (self._source, queue) in self._paused

    def wait(self) -> None:
        """In a worker, in place of taking: for a moment, or until the consumer stops."""
        self._consumer.stop_flag.wait(TURN_S)

    def wait_until_seen(self) -> bool:
        """Until every worker that was about to take a task has taken it or given up. False if
        Huey lets them wait for the next task without an end."""
        storage = self._consumer.huey.storage
        wait_s = 0.0
        if getattr(storage, "blocking", False):
            wait_s = float(getattr(storage, "read_timeout", 0) or 0)
            if not wait_s:
                return False
        time.sleep(LOOK_AGAIN_S + wait_s + _MARGIN_S)
        return True
