# SPDX-License-Identifier: AGPL-3.0-only
"""An agent as the server sees it, written with a bare WebSocket: for tests of the gateway."""

import asyncio
import secrets
import time

import msgspec
from websockets.asyncio.client import connect

from queuedeck_agent import wire

SOURCE = "0123456789ab"
NOW = 1_790_000_000_000_000


def a_lane():
    return secrets.token_hex(16)


def a_hello(lanes=(), **fields):
    values = {
        "agent_id": secrets.token_hex(16),
        "version": "0.1.0",
        "host": "test-host",
        "pid": 1,
        "nonce": secrets.token_bytes(16),
        "lanes": tuple((lane, 1) for lane in lanes),
        "allow": ("observe", "retry", "cancel", "pause"),
        **fields,
    }
    return wire.Hello(**values)


def an_engine(*verbs, role="worker"):
    able = tuple(wire.Capability(verb, "native") for verb in verbs)
    return wire.EngineInfo("celery", "5.6.0", SOURCE, role, capabilities=able)


def a_source():
    return wire.SourceSeen(NOW, SOURCE, "celery", "redis://test/0")


def published(task_id, **fields):
    return wire.TaskPublished(NOW, SOURCE, task_id, 1, "shop.add", **fields)


def a_part(lane, last, *events):
    return wire.LanePart(lane, last, [msgspec.Raw(wire.encode(event)) for event in events])


def tasks_part(lane, first, count, prefix="task"):
    """Records `first` to `first + count - 1` of a lane; record 1 names the source."""
    events = [
        a_source() if number == 1 else published(f"{prefix}-{number}")
        for number in range(first, first + count)
    ]
    return a_part(lane, first + count - 1, *events)


def headers(key, project, **changes):
    values = {
        "Authorization": f"Bearer {key}",
        "Queuedeck-Protocol": str(wire.PROTOCOL),
        "Queuedeck-Project": project,
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def link_to(url, key, project, **changes):
    """The connection, not open yet: use with `async with`."""
    return connect(
        url.replace("http", "ws", 1) + wire.LINK_PATH,
        additional_headers=headers(key, project, **changes),
        user_agent_header="queuedeck-agent/0.1.0",
        compression=None,
        max_size=None,
        ping_interval=None,
    )


class Agent:
    """What an agent does on an open connection."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, message):
        await self.socket.send(wire.encode(message))

    async def next(self, kind=None, seconds=5):
        """The next message, or the next of this kind."""
        until = time.monotonic() + seconds
        while True:
            data = await asyncio.wait_for(self.socket.recv(), max(0.01, until - time.monotonic()))
            message = wire.decode_server_message(data)
            if kind is None or isinstance(message, kind):
                return message

    async def greet(self, hello):
        await self.send(hello)
        return await self.next(wire.Welcome)

    async def ship(self, *parts):
        await self.send(wire.Frame(list(parts)))

    async def acked(self, lane, number, seconds=5):
        """Wait until the lane is acknowledged up to the number."""
        while (await self.next(wire.Ack, seconds)).committed.get(lane, 0) < number:
            pass
