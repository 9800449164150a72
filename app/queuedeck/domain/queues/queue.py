# SPDX-License-Identifier: AGPL-3.0-only
"""One queue by its name: engine, source and queue, as addresses and commands write it."""

from typing import Protocol

import msgspec

from queuedeck.clock import DAY_US, Clock
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.queues.watch import Watches
from queuedeck.errors import NotFound
from queuedeck.history.store import History

KNOWN_US = 30 * DAY_US
"""A queue that nothing has named for so long is not known."""


class QueueRef(msgspec.Struct, frozen=True):
    """A queue of one source."""

    engine: str
    source: str
    name: str

    @property
    def target(self) -> str:
        """What a command's `target` is."""
        return f"queue:{self.source}:{self.name}"

    @property
    def audit_target(self) -> str:
        return f"queue:{self.engine}:{self.source}:{self.name}"


class Places(Protocol):
    """Where queues are known from. The entrances' `Services` fits."""

    @property
    def history(self) -> History: ...
    @property
    def registry(self) -> AgentRegistry: ...
    @property
    def watches(self) -> Watches: ...
    @property
    def clock(self) -> Clock: ...


async def find_queue(places: Places, project_id: int, queue: QueueRef) -> QueueRef:
    """The queue, if agents or tasks of the project have named it of late. Raises `NotFound`."""
    said = [
        engine
        for agent in places.registry.agents(project_id)
        for engine in agent.hello.engines
        if engine.source == queue.source
    ]
    key = (queue.source, queue.name)
    engines = {engine.engine for engine in said}
    known = key in places.watches.queues(project_id)
    known = known or any(queue.name in engine.queues for engine in said)
    if not known:
        since = places.clock() - KNOWN_US
        known = key in await places.history.queue_names(project_id, since)
    if known and queue.engine not in engines:
        sources = await places.history.sources(project_id)
        engines |= {one.engine for one in sources if one.source == queue.source}
    if not known or queue.engine not in engines:
        raise NotFound("There is no such queue in this project.")
    return queue
