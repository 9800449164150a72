# SPDX-License-Identifier: AGPL-3.0-only
"""Brings commands to agents: woken after the commit of a command, and when an agent connects."""

import asyncio
import logging
from collections.abc import Sequence

from queuedeck.domain.agents.registry import Connection
from queuedeck.domain.commands.again import claim_again
from queuedeck.domain.commands.delivery import Claimed, build_command, claim_for_agent
from queuedeck.entrance.services import Services
from queuedeck.errors import QueuedeckError

AFTER_ERROR_S = 2.0

_log = logging.getLogger("queuedeck.gateway")


class Dispatch:
    """`wake` from anywhere in the event loop; `run` sends until it is cancelled."""

    def __init__(self) -> None:
        self._projects: set[int] = set()
        self._woken = asyncio.Event()

    def wake(self, project_id: int) -> None:
        """There may be something to send in this project."""
        self._projects.add(project_id)
        self._woken.set()

    async def run(self, services: Services) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            projects, self._projects = self._projects, set()
            for project_id in projects:
                try:
                    await send_pending(services, project_id)
                except QueuedeckError as error:
                    _log.warning("Commands wait, because of: %s", error.message)
                    await asyncio.sleep(AFTER_ERROR_S)
                    self.wake(project_id)


async def send_pending(services: Services, project_id: int) -> None:
    """Claim what each connected agent can do, and send it. Claimed means sent: at most once. They
    take turns until nothing is left that one of them can do. An agent that has come back first
    gets what was on its way.
    """
    connections = services.registry.connections(project_id)
    for connection in connections:
        if not connection.is_caught_up:
            again = await claim_again(services, project_id, connection.agent)
            _send(services, connection, again)
            connection.is_caught_up = True
    while connections:
        served: list[Connection] = []
        for connection in connections:
            claimed = await claim_for_agent(services, project_id, connection.agent)
            _send(services, connection, claimed)
            if claimed:
                served.append(connection)
        connections = served


def _send(services: Services, connection: Connection, claimed: Sequence[Claimed]) -> None:
    for one in claimed:
        connection.send(build_command(services.keyring, connection.agent.hello, one))
