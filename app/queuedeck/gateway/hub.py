# SPDX-License-Identifier: AGPL-3.0-only
"""All open links of this server: what they share, and what reaches them from the rest of it."""

import asyncio

from queuedeck.domain.audit.queries import log_state
from queuedeck.domain.projects.queries import list_agent_keys
from queuedeck.entrance.services import Services
from queuedeck.gateway import messages
from queuedeck.gateway.link import CREDIT_BYTES, Link, Timing
from queuedeck.history.batches import Recorded
from queuedeck_agent import wire

MAX_LINKS = 2_000
"""More agents are told to come back later."""
RECONNECT_S = 1
"""When agents may come back after a stop of the server; each adds its own jitter."""
GOODBYE_S = 0.8
"""How long the stop of the server waits for the links to end."""
AGENTS_TOPIC = frozenset({"agents"})
QUEUES_TOPIC = frozenset({"queues"})


class Gateway:
    """Use on the event loop only."""

    def __init__(self, services: Services, timing: Timing) -> None:
        self.timing = timing
        self._services = services
        self._links: set[Link] = set()
        self._stopping = False

    def takes_more(self) -> bool:
        return not self._stopping and len(self._links) < MAX_LINKS

    async def enter(self, link: Link, hello: wire.Hello) -> None:
        """Welcome an agent: from now on it is connected, and gets what waits for it."""
        welcome = await self._welcome(link, hello)
        self._end_older(link, hello)
        self._links.add(link)
        link.put(welcome)
        link.connection = self._services.registry.connect(link.project_id, hello, link.put)
        self._services.live.publish(link.project_id, AGENTS_TOPIC)
        self._services.commands_changed(link.project_id)

    def update(self, link: Link, hello: wire.Hello) -> None:
        """The agent says something new about itself, an engine for example."""
        if link.connection is not None:
            self._services.registry.update(link.connection, hello)
            self._services.live.publish(link.project_id, AGENTS_TOPIC)
            self._services.commands_changed(link.project_id)

    def heard(self, link: Link, beat: wire.Heartbeat) -> None:
        if link.connection is not None:
            self._services.registry.heartbeat(link.connection, beat)

    def saw_queues(self, link: Link, snapshot: wire.QueueSnapshot) -> None:
        """Taken only of a source that the agent serves."""
        if link.hello is None or all(e.source != snapshot.source for e in link.hello.engines):
            return
        self._services.watches.take(link.project_id, link.agent_id, snapshot)
        self._services.live.publish(link.project_id, QUEUES_TOPIC)

    def saw_tasks(self, link: Link, catalog: wire.TaskCatalog) -> None:
        """Taken only of a source that the agent serves."""
        if link.hello is None or all(e.source != catalog.source for e in link.hello.engines):
            return
        if link.connection is not None:
            self._services.registry.learn(link.connection, catalog)

    def submit(self, link: Link, part: wire.LanePart) -> asyncio.Future[Recorded]:
        return self._services.ingest.submit(link.project_id, link.agent_id, part)

    def leave(self, link: Link) -> None:
        """The connection is gone."""
        self._links.discard(link)
        link.left.set_result(None)
        if link.connection is not None:
            self._services.registry.disconnect(link.connection)
            self._services.live.publish(link.project_id, AGENTS_TOPIC)

    async def end_revoked(self) -> None:
        """Close the links whose key was revoked, by whatever process did it."""
        for project_id in {link.project_id for link in self._links}:
            keys = await list_agent_keys(self._services.control, project_id)
            good = {key.id for key in keys if key.revoked_us is None}
            for link in list(self._links):
                if link.project_id == project_id and link.key.key_id not in good:
                    link.end(messages.REVOKED, "the agent key was revoked")

    async def stop(self) -> None:
        """Say goodbye to all agents; they come back to the next server by themselves."""
        self._stopping = True
        links = list(self._links)
        for link in links:
            link.end(messages.STOPPING, "the server stops", RECONNECT_S)
        if links:
            await asyncio.wait([link.left for link in links], timeout=GOODBYE_S)

    def _end_older(self, link: Link, hello: wire.Hello) -> None:
        for other in list(self._links):
            if other.project_id == link.project_id and other.agent_id == hello.agent_id:
                other.end(messages.REPLACED, "this agent has connected again")

    async def _welcome(self, link: Link, hello: wire.Hello) -> wire.Welcome:
        lanes = [lane for lane, _ in hello.lanes]
        return wire.Welcome(
            protocol=wire.PROTOCOL,
            project=link.key.slug,
            credit_bytes=CREDIT_BYTES,
            command_key=self._services.keyring.command_public,
            command_cert=self._services.keyring.command_cert,
            committed=await self._services.history.committed(link.project_id, lanes),
            cancelled=tuple(await self._services.history.cancelled_waiting(link.project_id)),
            clock_us=self._services.clock(),
            checkpoint=(await log_state(self._services.control)).checkpoint,
        )
