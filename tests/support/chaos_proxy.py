# SPDX-License-Identifier: AGPL-3.0-only
"""A bad network: a TCP proxy that delays, cuts in the middle of a frame, and repeats whole
connections. Each connection has its own delay: what different agents send comes in another order.
`Void` only loses what one side says; `Cable` can be pulled out.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter

CHUNK_BYTES = 16 << 10
MOST_DELAY_S = 0.08
CUT_AFTER_BYTES = 150_000
"""On average."""
DOUBLED = 0.3
"""Share of the connections that the server sees a second time, byte by byte, after their end."""
AGAIN_S = 2.0
START_S = 10


class Proxy:
    """Use as a context manager; `calm` ends the faults, not the proxy."""

    def __init__(self, port, seed):
        self.counts = Counter()
        self.url = ""
        self._port = port
        self._chance = random.Random(seed)
        self._is_bad = True
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(START_S)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)
        assert not self._thread.is_alive()

    def calm(self):
        self._is_bad = False

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._open = set()
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _take(self, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        writers = [writer]
        try:
            with contextlib.suppress(OSError):
                await self._join(reader, writer, writers)
        finally:
            self._open.discard(task)
            for one in writers:
                one.transport.abort()

    async def _join(self, reader, writer, writers):
        """Both directions, until one side or our fault ends them; some then come once more."""
        said = bytearray() if self._is_bad and self._chance.random() < DOUBLED else None
        there_reader, there = await self._connect(writers)
        delay_s = self._chance.random() * MOST_DELAY_S
        await _both(
            self._pump(reader, there, delay_s, said), self._pump(there_reader, writer, delay_s)
        )
        there.transport.abort()
        writer.transport.abort()
        if said and self._is_bad:
            await self._say_again(bytes(said), writers)

    async def _say_again(self, said, writers):
        """A second connection with every byte of one that has ended."""
        self.counts["doubled"] += 1
        reader, writer = await self._connect(writers)
        writer.write(said)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_S):
                while await reader.read(CHUNK_BYTES):
                    pass

    async def _connect(self, writers):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writers.append(writer)
        return reader, writer

    async def _pump(self, reader, writer, delay_s, said=None):
        left = self._chance.expovariate(1 / CUT_AFTER_BYTES)
        while data := await reader.read(CHUNK_BYTES):
            if said is not None:
                said += data
            if self._is_bad:
                await asyncio.sleep(delay_s * self._chance.random())
                left -= len(data)
            if left < 0:
                self.counts["cut"] += 1
                data = data[: self._chance.randrange(len(data))]
            writer.write(data)
            await writer.drain()
            if left < 0:
                return


class Void(Proxy):
    """A good network, until what one side says is to be `lost`: that of `agent` or `server`."""

    def __init__(self, port):
        super().__init__(port, 0)
        self.lost = ""

    async def _join(self, reader, writer, writers):
        there_reader, there = await self._connect(writers)
        await _both(
            self._carry(reader, there, "agent"), self._carry(there_reader, writer, "server")
        )

    async def _carry(self, reader, writer, who):
        while data := await reader.read(CHUNK_BYTES):
            if self.lost != who:
                writer.write(data)
                await writer.drain()


class Cable(Proxy):
    """A good network, except while it is pulled out: then nobody connects, and nobody is."""

    def __init__(self, port):
        super().__init__(port, 0)
        self._is_out = False
        self._cuts = set()

    def pull_out(self):
        self._is_out = True
        self._loop.call_soon_threadsafe(lambda: [cut.set() for cut in self._cuts])

    def plug_in(self):
        self._is_out = False

    async def _join(self, reader, writer, writers):
        if self._is_out:
            return
        there_reader, there = await self._connect(writers)
        cut = asyncio.Event()
        self._cuts.add(cut)
        await _both(_copy(reader, there), _copy(there_reader, writer), cut.wait())
        self._cuts.discard(cut)


async def _copy(reader, writer):
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _both(*directions):
    """Until one of them ends."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
