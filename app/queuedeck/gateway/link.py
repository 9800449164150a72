# SPDX-License-Identifier: AGPL-3.0-only
"""One agent's connection, from its hello to its end.

The reader never waits for the disk: it hands parts over and goes on, so heartbeats and pongs are
answered while a commit takes long. Credit bounds what may be in hand.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from queuedeck.domain.agents.registry import Connection
from queuedeck.domain.projects.queries import AgentKeyFound
from queuedeck.errors import QueuedeckError, Unavailable
from queuedeck.gateway import messages
from queuedeck.gateway.messages import CloseLink
from queuedeck.gateway.outbox import Outbox
from queuedeck.history.batches import Recorded
from queuedeck_agent import wire

if TYPE_CHECKING:
    from queuedeck.gateway.hub import Gateway

CREDIT_BYTES = 1 << 20
"""What an agent may have unacknowledged: four frames of the size it aims at."""
CREDIT_SLACK = 2
"""An agent that goes beyond its credit by this factor is cut off."""
AFTER_STORE_ERROR_S = 5
AFTER_BAD_PART_S = 60
"""Sent again, it would be refused again: no hurry."""
MAX_REASON_BYTES = 120
"""A close frame holds 123."""

_log = logging.getLogger("queuedeck.gateway")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Timing(msgspec.Struct, frozen=True):
    """In seconds."""

    hello: float = 10.0
    silence: float = 35.0
    beat: float = 8.0
    """The server says something at least this often; agents expect it every 10."""
    tick: float = 1.0
    goodbye: float = 1.0
    drain: float = 0.1


class Link:
    """Serve with `run`; end from outside with `end`."""

    def __init__(
        self, gateway: "Gateway", key: AgentKeyFound, receive: Receive, send: Send
    ) -> None:
        self.key = key
        self.hello: wire.Hello | None = None
        self.connection: Connection | None = None
        """What the registry knows this link by, once it was welcomed."""
        self._gateway = gateway
        self._receive = receive
        self._send = send
        self._timing = gateway.timing
        self._outbox = Outbox(self._send_bytes)
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.left: asyncio.Future[None] = self._loop.create_future()
        """Over when the connection is gone."""
        self._open_bytes = 0
        self._heard = self._said = self._now()

    @property
    def project_id(self) -> int:
        return self.key.project_id

    @property
    def agent_id(self) -> str:
        return "" if self.hello is None else self.hello.agent_id

    def put(self, message: wire.ServerMessage) -> None:
        """Send after what waits already."""
        self._outbox.put(message)

    def end(self, code: int, reason: str, retry_after_s: int = 0) -> None:
        """Close the connection, after a goodbye."""
        if not self._ended.done():
            self._ended.set_exception(CloseLink(code, reason, retry_after_s))

    async def run(self) -> None:
        """Until one side closes. Never raises because of what the agent sent."""
        try:
            await self._run()
        except CloseLink as closed:
            await self._say_goodbye(closed)
        except QueuedeckError as error:
            _log.warning("A link of project %s ends: %s", self.key.slug, error.message)
            await self._say_goodbye(
                CloseLink(messages.CANNOT_STORE, error.message, AFTER_STORE_ERROR_S)
            )
        except Exception:  # noqa: BLE001 - logged, and no error of ours may reach the others
            _log.exception("A link of project %s failed.", self.key.slug)
            await self._say_goodbye(CloseLink(messages.ERROR, "the server met an error"))
        finally:
            self._gateway.leave(self)

    async def _run(self) -> None:
        parts = (self._read(), self._outbox.run(), self._watch())
        work = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait((*work, self._ended), return_when=asyncio.FIRST_COMPLETED)
            for finished in (self._ended, *work):
                if finished.done():
                    await finished
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            # Retrieved, so that asyncio does not report a reason nobody waited for.
            if self._ended.done():
                self._ended.exception()

    async def _read(self) -> None:
        hello = await self._first_hello()
        await self._gateway.enter(self, hello)
        self.hello = hello
        while (data := await self._next_bytes()) is not None:
            match message := messages.decode(data):
                case wire.Frame():
                    self._take_frame(message, len(data))
                case wire.Heartbeat():
                    self._gateway.heard(self, message)
                case wire.QueueSnapshot():
                    self._gateway.saw_queues(self, message)
                case wire.TaskCatalog():
                    self._gateway.saw_tasks(self, message)
                case wire.Hello():
                    self.hello = self._same_agent(message)
                    self._gateway.update(self, message)
                case None:
                    _log.info("An agent of %s sent a kind of message unknown here.", self.key.slug)

    async def _first_hello(self) -> wire.Hello:
        try:
            async with asyncio.timeout(self._timing.hello):
                data = await self._next_bytes()
        except TimeoutError as error:
            raise CloseLink(messages.SILENT, "no hello came") from error
        message = None if data is None else messages.decode(data)
        if not isinstance(message, wire.Hello):
            raise CloseLink(messages.GARBAGE, "the first message must be a hello")
        return message

    def _same_agent(self, hello: wire.Hello) -> wire.Hello:
        if self.hello is None or hello.agent_id != self.hello.agent_id:
            raise CloseLink(messages.GARBAGE, "a hello may not change the agent's id")
        return hello

    async def _next_bytes(self) -> bytes | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        self._heard = self._now()
        data = message.get("bytes")
        if data is None:
            raise CloseLink(messages.NOT_BINARY, "messages are binary")
        return data

    def _take_frame(self, frame: wire.Frame, size: int) -> None:
        self._open_bytes += size
        if self._open_bytes > CREDIT_SLACK * CREDIT_BYTES:
            raise CloseLink(messages.OVER_CREDIT, f"the credit is {CREDIT_BYTES} bytes")
        stored = [self._gateway.submit(self, part) for part in frame.parts]
        group = asyncio.gather(*stored, return_exceptions=True)
        group.add_done_callback(lambda done: self._frame_stored(frame, size, done.result()))

    def _frame_stored(
        self, frame: wire.Frame, size: int, results: list[Recorded | BaseException]
    ) -> None:
        self._open_bytes -= size
        for part, result in zip(frame.parts, results, strict=True):
            if isinstance(result, BaseException):
                self._not_stored(result)
                return
            if part.lane in result.committed:
                self._outbox.acknowledge(part.lane, result.committed[part.lane])
            # Other parts of the lane in the same group may have been early, this one not.
            if result.expected.get(part.lane, part.last) < part.last:
                self.put(wire.Nack({part.lane: result.expected[part.lane]}))

    def _not_stored(self, error: BaseException) -> None:
        if isinstance(error, Unavailable):
            self.end(messages.CANNOT_STORE, error.message, AFTER_STORE_ERROR_S)
        elif isinstance(error, QueuedeckError):
            self.end(messages.GARBAGE, error.message, AFTER_BAD_PART_S)
        else:
            _log.error("Events of project %s were not stored", self.key.slug, exc_info=error)
            self.end(messages.ERROR, "the server met an error", AFTER_STORE_ERROR_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._timing.tick)
            if self._now() - self._heard > self._timing.silence:
                raise CloseLink(messages.SILENT, f"nothing was heard for {self._timing.silence} s")
            if self._now() - self._said > self._timing.beat:
                self.put(wire.Ack({}))

    async def _send_bytes(self, data: bytes) -> None:
        self._said = self._now()
        try:
            await self._send({"type": "websocket.send", "bytes": data, "text": None})
        except Exception as error:
            # Whatever the server raises here means that the other side is gone.
            raise CloseLink(messages.STOPPING, f"the agent is gone: {error!r}") from error

    async def _say_goodbye(self, closed: CloseLink) -> None:
        _log.info("The link of an agent of %s ends: %s.", self.key.slug, closed.reason)
        # The other side may be gone, or not reading.
        with suppress(Exception):
            async with asyncio.timeout(self._timing.goodbye):
                self.put(wire.Goodbye(closed.reason, closed.retry_after_s))
                await self._outbox.flush()
                await self._drain()
                reason = closed.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
                await self._send({"type": "websocket.close", "code": closed.code, "reason": reason})

    async def _drain(self) -> None:
        """Read what is on its way: a socket closed with unread bytes is reset, and the agent would
        not learn why.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.drain):
                while (await self._receive())["type"] != "websocket.disconnect":
                    pass

    def _now(self) -> float:
        return self._loop.time()
