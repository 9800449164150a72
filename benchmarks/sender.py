# SPDX-License-Identifier: AGPL-3.0-only
"""An agent as the server sees it: one lane over the real protocol. It keeps what is not
acknowledged, stays within its credit, and after each reconnect goes on where the server stopped.
"""

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from benchmarks.server import Access
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from queuedeck_agent import wire

FRAME_EVENTS = 500
FRAME_BYTES = 256 << 10
"""A real agent aims at frames of at most this size."""
WELCOME_S = 20.0
ACK_S = 60.0
"""So long without an acknowledgement, while something waits for one, ends the connection."""
AGAIN_S = 0.3


class Pending(msgspec.Struct):
    """A frame that is not acknowledged."""

    first: int
    last: int
    records: list[bytes]
    size: int
    sent_at: float = 0.0
    """When it was sent first."""


class Report(msgspec.Struct):
    """What a lane has seen."""

    sent: int = 0
    """The last number that was sent."""
    acked: int = 0
    waits_ms: list[float] = []
    """From sending a frame first to its acknowledgement."""
    cuts: int = 0
    unsure: list[tuple[int, int]] = []
    """Numbers that were on their way when a connection ended: the server may have them."""
    blocks: int = 0
    """Of tasks that were begun: with this, what each number was can be told."""
    violations: list[str] = []
    """What the server may never do, and did."""


class Sender:
    """`run` until all records are acknowledged, or until `stop_at` by the monotonic clock."""

    def __init__(
        self,
        access: Access,
        records: Iterator[bytes],
        *,
        stop_at: float,
        rate: float = 0,
        frame_events: int = FRAME_EVENTS,
        cut_every_s: float = 0,
        on_ack: Callable[[int], None] = lambda _number: None,
        on_send: Callable[[int], None] = lambda _number: None,
        again_s: float = AGAIN_S,
    ) -> None:
        self.report = Report()
        self.lane = secrets.token_hex(16)
        self._access, self._records = access, records
        self._stop_at, self._rate, self._frame_events = stop_at, rate, frame_events
        self._cut_every_s, self._again_s = cut_every_s, again_s
        self._on_ack, self._on_send = on_ack, on_send
        self._agent_id = secrets.token_hex(16)
        self._pending: deque[Pending] = deque()
        """Not acknowledged, oldest first."""
        self._unsent: deque[Pending] = deque()
        self._made = 0
        self._exhausted = False
        self._credit = 0
        self._room = asyncio.Event()
        self._done = asyncio.Event()
        self._began = 0.0

    async def run(self) -> Report:
        self._began = time.monotonic()
        while not self._done.is_set() and time.monotonic() < self._stop_at:
            try:
                async with self._open() as socket:
                    await self._converse(socket)
            except (OSError, WebSocketException, TimeoutError, EOFError):
                self.report.cuts += 1
            if not self._done.is_set():
                await asyncio.sleep(random.uniform(0, self._again_s))
        return self.report

    def _open(self) -> connect:
        headers = {
            "Authorization": f"Bearer {self._access.key}",
            wire.HEADER_PROTOCOL: str(wire.PROTOCOL),
            wire.HEADER_PROJECT: self._access.project,
        }
        return connect(
            self._access.url.replace("http", "ws", 1) + wire.LINK_PATH,
            additional_headers=headers,
            user_agent_header="queuedeck-agent/0.1.0",
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=WELCOME_S,
            close_timeout=1,
        )

    async def _converse(self, socket: ClientConnection) -> None:
        await socket.send(wire.encode(self._hello()))
        async with asyncio.timeout(WELCOME_S):
            welcome = wire.decode_server_message(await _bytes(socket))
            while not isinstance(welcome, wire.Welcome):
                welcome = wire.decode_server_message(await _bytes(socket))
        self._credit = welcome.credit_bytes
        self._rewind(welcome.committed.get(self.lane, 0))
        parts = [self._hear(socket), self._ship(socket), self._done.wait(), self._beat(socket)]
        if self._cut_every_s:
            parts.append(asyncio.sleep(random.expovariate(1 / self._cut_every_s)))
        work: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in parts]
        try:
            left = max(0.0, self._stop_at - time.monotonic())
            ended, _ = await asyncio.wait(work, timeout=left, return_when="FIRST_COMPLETED")
            for task in ended:
                task.result()
        finally:
            await self._end(socket, work)

    async def _end(self, socket: ClientConnection, work: Sequence[asyncio.Task[Any]]) -> None:
        """Cut, not closed, unless all is done: what the server has just said is never read."""
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        if not self._done.is_set():
            self.report.cuts += 1
            if self._pending:
                self.report.unsure.append((self._pending[0].first, self.report.sent))
            socket.transport.abort()

    def _hello(self) -> wire.Hello:
        first = self.report.acked + 1
        return wire.Hello(
            self._agent_id, "0.1.0", "bench", 1, secrets.token_bytes(16),
            allow=("observe",), lanes=((self.lane, first),),
        )  # fmt: skip

    def _rewind(self, committed: int) -> None:
        """The server has everything up to here: the rest is sent (again)."""
        if committed < self.report.acked:
            self.report.violations.append(
                f"acknowledged up to {self.report.acked}, but the server has only {committed}"
            )
        self._unsent = deque([*self._pending, *self._unsent])
        self._pending.clear()
        while self._unsent and self._unsent[0].last <= committed:
            self._acknowledged(self._unsent.popleft())
        if self._unsent and self._unsent[0].first <= committed:
            half = self._unsent[0]
            half.records = half.records[committed - half.first + 1 :]
            half.first = committed + 1
        self._note_acked(committed)

    async def _hear(self, socket: ClientConnection) -> None:
        while True:
            async with asyncio.timeout(ACK_S):
                message = wire.decode_server_message(await _bytes(socket))
            match message:
                case wire.Ack():
                    self._take_ack(message.committed.get(self.lane, 0))
                case wire.Nack():
                    self._rewind(message.expected[self.lane])
                case wire.Credit():
                    self._credit = message.credit_bytes
                case wire.Goodbye():
                    return
                case _:
                    continue
            self._room.set()

    def _take_ack(self, number: int) -> None:
        if number > self.report.sent:
            self.report.violations.append(f"acknowledged {number}, sent {self.report.sent}")
        while self._pending and self._pending[0].last <= number:
            self._acknowledged(self._pending.popleft())
        self._note_acked(number)

    def _acknowledged(self, frame: Pending) -> None:
        if frame.sent_at:
            self.report.waits_ms.append((time.monotonic() - frame.sent_at) * 1e3)

    def _note_acked(self, number: int) -> None:
        if number > self.report.acked:
            self.report.acked = number
            self._on_ack(number)
        if self._exhausted and not self._pending and not self._unsent:
            self._done.set()

    async def _ship(self, socket: ClientConnection) -> None:
        while True:
            frame = await self._next_frame()
            if frame is None or not self._has_room(frame):
                self._room.clear()
                await self._room.wait()
                continue
            self._unsent.popleft()
            self._pending.append(frame)
            frame.sent_at = frame.sent_at or time.monotonic()
            self._on_send(frame.last)
            self.report.sent = max(self.report.sent, frame.last)
            part = wire.LanePart(self.lane, frame.last, [msgspec.Raw(r) for r in frame.records])
            await socket.send(wire.encode(wire.Frame([part])))

    def _has_room(self, frame: Pending) -> bool:
        in_flight = sum(each.size for each in self._pending)
        return not in_flight or in_flight + frame.size <= self._credit

    async def _next_frame(self) -> Pending | None:
        """The oldest frame that is not sent; a new one when its time has come."""
        if not self._unsent and not self._exhausted:
            if self._rate:
                due = self._began + self._made / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._make_frame()
        return self._unsent[0] if self._unsent else None

    def _make_frame(self) -> None:
        made: list[bytes] = []
        size = 0
        for record in islice(self._records, self._frame_events):
            made.append(record)
            size += len(record) + 3
            if size > FRAME_BYTES:
                break
        if not made:
            self._exhausted = True
            self._note_acked(0)
            return
        first, self._made = self._made + 1, self._made + len(made)
        self._unsent.append(Pending(first, self._made, made, size))

    async def _beat(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(10)
            await socket.send(wire.encode(wire.Heartbeat(time.time_ns() // 1_000)))


async def _bytes(socket: ClientConnection) -> bytes:
    data = await socket.recv()
    if isinstance(data, str):
        raise EOFError("text, where every message is binary")
    return data
