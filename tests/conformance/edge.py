# SPDX-License-Identifier: AGPL-3.0-only
"""A server for the worker of a harness: it signs commands, and leaves all events in the spool."""

import base64

from tests.support.far_edge import FarEdge, wait_until
from websockets.sync.server import ServerConnection

from queuedeck_agent import wire

NO_LIMIT = 1 << 40


class Edge(FarEdge):
    """Never acknowledges, so that behaviours read events where those of a worker without a server
    are; knows which connection is whose."""

    def __init__(self) -> None:
        super().__init__()
        self.acks = False
        self.credit = NO_LIMIT
        self.by_agent: dict[str, ServerConnection] = {}

    def text(self) -> str:
        """The DSN as an operator has it."""
        dsn = self.dsn()
        seal, root = (
            base64.urlsafe_b64encode(one).decode().rstrip("=")
            for one in (dsn.seal.key, dsn.root_key)
        )
        place = f"{dsn.agent_key}@127.0.0.1:{self.port}/{dsn.project}"
        return f"http://{place}?seal={dsn.seal.kid}.{seal}&root={root}"

    def order(self, body: wire.CommandBody) -> None:
        """Signs it and sends it to the agent that it names."""
        wait_until(lambda: body.agent_id in self.by_agent)
        raw = wire.encode(body)
        command = wire.Command(raw, self.command.sign(wire.COMMAND_CONTEXT + raw))
        self.by_agent[body.agent_id].send(wire.encode(command))

    def _answer(self, connection: ServerConnection, message: wire.AgentMessage, size: int) -> None:
        """What has come is read in the spool, so all but the hello is left alone."""
        if isinstance(message, wire.Hello):
            super()._answer(connection, message, size)
            self.by_agent[message.agent_id] = connection
