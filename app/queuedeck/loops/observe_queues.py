# SPDX-License-Identifier: AGPL-3.0-only
"""Asks agents to count what waits in the queues, one for each source; keeps what they counted."""

import logging

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.entrance.services import Services
from queuedeck.errors import QueuedeckError

OBSERVE_EVERY_S = 2.0
KEEP_EVERY_S = 30.0
"""More than once in each minute, so that the last minute of an hour is not left out."""
NAMES_EVERY_US = 1 * MINUTE_US
"""How often it is looked which queues tasks were in during the last day."""

_HOUR_US = 60 * MINUTE_US

_log = logging.getLogger("queuedeck.loops")


class ObserveQueues:
    """Keeps the names between its rounds."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._used: dict[int, tuple[int, dict[str, list[str]]]] = {}

    async def round(self) -> None:
        """Once for each project with connected agents."""
        projects = self._services.registry.projects()
        self._used = {key: one for key, one in self._used.items() if key in projects}
        for project_id in projects:
            self._services.observers.assign(project_id, await self._names(project_id))

    async def _names(self, project_id: int) -> dict[str, list[str]]:
        now = self._services.clock()
        at_us, known = self._used.get(project_id, (0, {}))
        if now - at_us < NAMES_EVERY_US:
            return known
        found: dict[str, list[str]] = {}
        history = self._services.history
        for source, queue in await history.queue_names(project_id, now - DAY_US):
            found.setdefault(source, []).append(queue)
        self._used[project_id] = now, found
        return found


async def keep_depths(services: Services) -> None:
    """How deep queues were outlives the server. Without it only the page's last hour is missing."""
    hours = services.watches.hours()
    try:
        if hours:
            await services.history.save_queue_hours(hours)
    except QueuedeckError as error:
        _log.warning("How deep queues were is not kept: %s", error.message)


async def restore_depths(services: Services) -> None:
    """At the start: the last hour goes on."""
    since = services.clock() - _HOUR_US
    try:
        services.watches.restore(await services.history.load_queue_hours(since))
    except QueuedeckError as error:
        _log.warning("How deep queues were cannot be read: %s", error.message)
