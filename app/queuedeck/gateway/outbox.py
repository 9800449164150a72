# SPDX-License-Identifier: AGPL-3.0-only
"""What goes out on one link: messages in order, acknowledgements merged to the newest numbers.

One task sends, so a slow agent holds back only itself and costs one number per lane.
"""

import asyncio
from collections.abc import Awaitable, Callable

from queuedeck_agent import wire

Send = Callable[[bytes], Awaitable[None]]


class Outbox:
    """Put from anywhere in the event loop; `run` sends until it is cancelled."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[wire.ServerMessage] = []
        self._acks: dict[str, int] = {}
        self._wake = asyncio.Event()

    def put(self, message: wire.ServerMessage) -> None:
        self._messages.append(message)
        self._wake.set()

    def acknowledge(self, lane: str, number: int) -> None:
        """Everything of the lane up to the number is on disk."""
        if number > self._acks.get(lane, -1):
            self._acks[lane] = number
            self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send what waits."""
        messages, self._messages = self._messages, []
        acks, self._acks = self._acks, {}
        if acks:
            messages.append(wire.Ack(acks))
        for message in messages:
            await self._send(wire.encode(message))
