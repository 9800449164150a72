# SPDX-License-Identifier: AGPL-3.0-only
"""Asks workers that come while a queue is paused to pause too, those that come after it to go on,
and ends pauses whose time is over.
"""

from queuedeck.domain.queues.orders import TOPICS, carry_out
from queuedeck.domain.queues.pauses import PauseSeen, end_due, pauses_of
from queuedeck.entrance.services import Services

PAUSE_EVERY_S = 1.0
"""So long a worker that has just connected may take from a paused queue, on a new host."""

_Course = list[list[tuple[str, str]]]


class KeepPauses:
    """Keeps how far pauses had come between its rounds, to tell browsers of each step."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._courses: dict[int, _Course] = {}

    async def round(self) -> None:
        """Once for each project with connected agents."""
        services = self._services
        await end_due(services)
        for project_id in services.registry.projects():
            await carry_out(services, project_id)
            course = [_course(one) for one in await pauses_of(services, project_id)]
            if course != self._courses.get(project_id, []):
                self._courses[project_id] = course
                services.live.publish(project_id, TOPICS)


def _course(held: PauseSeen) -> list[tuple[str, str]]:
    return [(one.agent_id, one.word) for one in held.workers]
