# SPDX-License-Identifier: Apache-2.0
"""Whether a worker may take jobs now: asked once for each poll that found some.

arq's own switch, `Worker.allow_pick_jobs`, is left alone: a worker that is about to end uses it.
"""

import weakref
from typing import Any

from queuedeck_agent.agent import Agent


class Gate:
    """For all workers of one source in this process."""

    def __init__(self, agent: Agent, source: str) -> None:
        self.paused = agent.paused
        self.source = source
        self.drained: weakref.WeakSet[Any] = weakref.WeakSet()
        self.taking: weakref.WeakSet[Any] = weakref.WeakSet()
        """Workers that are about to start what a poll has found."""

    def is_open(self, worker: Any) -> bool:
        """No, while the worker is drained or its queue is paused on this host."""
        key = (self.source, str(worker.queue_name))
        return worker not in self.drained and key not in self.paused
