# SPDX-License-Identifier: Apache-2.0
"""Where a worker takes messages from Redis: nothing is taken while the queue is paused.

The brokers of taskiq-redis take with BRPOP and XREADGROUP of a client that they make for it. Its
class is replaced in their module by one that waits before these two. A question that waits in Redis
when a pause begins is ended there. Where that cannot be done, what it brings from a list is put
back: it has left Redis, and would be lost with this process.
"""

import asyncio
import contextlib
import functools
import sys
import time
import weakref
from typing import Any

from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.taskiq.redis import client_of
from queuedeck_agent.guard import contained

LOOK_AGAIN_S = 0.25

_gates: "weakref.WeakKeyDictionary[Any, Gate]" = weakref.WeakKeyDictionary()
"""By the connection pool of the broker."""


class Gate:
    """For one broker that this process listens to."""

    def __init__(self, agent: Agent, source: str) -> None:
        self.paused = agent.paused
        self.source = source
        self.drained = False
        self.reading_since = 0.0
        """When the question began that waits for messages now; 0 when there is none."""

    @contained
    def is_closed(self, queue: str) -> bool:
        """Asked once for each message of a list, and each batch of a stream."""
        return self.drained or (self.source, queue) in self.paused

    async def from_list(self, queue: str, take: Any, push: Any) -> Any:
        """The next message, once the queue is open."""
        while True:
            while self.is_closed(queue):  # noqa: ASYNC110 - another process may open it
                await asyncio.sleep(LOOK_AGAIN_S)
            self.reading_since = time.monotonic()
            try:
                found = await take()
            finally:
                self.reading_since = 0.0
            if found and not (self.is_closed(queue) and await _put_back(push, *found)):
                return found

    async def from_streams(self, streams: "dict[str, Any]", take: Any) -> Any:
        """The next batch of the streams that are open, once there is one."""
        while True:
            found = {key: place for key, place in streams.items() if not self.is_closed(key)}
            if not found:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            self.reading_since = time.monotonic()
            try:
                return await take(found)
            finally:
                self.reading_since = 0.0

    def is_still(self, since: float) -> bool:
        """Whether no question of before that moment can bring messages any more."""
        return self.reading_since == 0 or self.reading_since > since


def open_gate(broker: Any, agent: Agent, source: str) -> "Gate | None":
    """None where taking is not done in the way that is known here."""
    kind = _listening_class(broker)
    pool = vars(broker).get("connection_pool")
    if kind is None or pool is None or not _replace_client(kind.__module__):
        return None
    gate = _gates.get(pool)
    if gate is None:
        gate = _gates[pool] = Gate(agent, source)
    return gate


def close_gate(broker: Any) -> None:
    """The client passes everything through again."""
    _gates.pop(vars(broker).get("connection_pool"), None)


def _listening_class(broker: Any) -> "type[Any] | None":
    """The class whose `listen` it is: an application's own may take in another way."""
    owner = next((one for one in type(broker).__mro__ if "listen" in vars(one)), None)
    known = ("ListQueueBroker", "RedisStreamBroker")
    return owner if owner is not None and owner.__name__ in known else None


def _replace_client(module_name: str) -> bool:
    module: Any = sys.modules.get(module_name)
    client = getattr(module, "Redis", None)
    if not (isinstance(client, type) and hasattr(client, "brpop")):
        return False
    if not hasattr(client, "queuedeck_original"):
        module.Redis = _gated(client)
    return True


def _gated(client: Any) -> Any:
    class Redis(client):
        """Waits before it takes."""

        queuedeck_original = client

        async def brpop(self, keys: Any, *args: Any, **named: Any) -> Any:
            gate = _gates.get(self.connection_pool)
            take = functools.partial(super().brpop, keys, *args, **named)
            if gate is None or args or named:
                return await take()
            return await gate.from_list(str(keys), take, super().rpush)

        async def xreadgroup(
            self, groupname: Any, consumername: Any, streams: Any, *args: Any, **named: Any
        ) -> Any:
            gate = _gates.get(self.connection_pool)
            take = functools.partial(super().xreadgroup, groupname, consumername)
            if gate is None or args:
                return await take(streams, *args, **named)
            return await gate.from_streams(streams, functools.partial(take, **named))

    return Redis


async def wake(broker: Any) -> None:
    """Ends the questions of this broker that wait in Redis: they bring nothing."""
    pool: Any = broker.connection_pool
    own: set[str] = set()
    for connection in list(getattr(pool, "_in_use_connections", ())):
        writer = getattr(connection, "_writer", None)
        place = writer.get_extra_info("sockname") if writer is not None else None
        if isinstance(place, tuple):
            host, port = place[:2]
            own.add(f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}")
    async with client_of(broker) as client:
        for one in await client.client_list():
            if one.get("addr") in own and one.get("cmd") in ("brpop", "xreadgroup"):
                await client.execute_command("CLIENT UNBLOCK", one["id"])


async def _put_back(rpush: Any, queue: Any, message: Any) -> bool:
    """To the end that it came from. A worker that is told to stop meanwhile does this first."""
    pushing = asyncio.ensure_future(rpush(queue, message))
    try:
        await asyncio.shield(pushing)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await pushing
        raise
    except Exception:  # noqa: BLE001 - Redis is gone: better run it than lose it
        return False
    return True
