# SPDX-License-Identifier: AGPL-3.0-only
"""From an agent's event to the browser: so many browsers with an open stream and the task list,
while so many events a second come in. One line of JSON.

    uv run python -m benchmarks.live --browsers 50 --rate 1000 --seconds 20

`hint_ms`: from sending a frame to the first message of the stream after the frame's
acknowledgement. What the stream says while much happens does not name the event, so this is a
bound from above. `named_ms`: the same for one event a second on a quiet server, by its own name.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from benchmarks.load import PUBLISHED, Shape, Until, event, records, task_ids
from benchmarks.sender import Sender
from benchmarks.server import Access, Server

from queuedeck.clock import now_us
from queuedeck_agent import wire

CONNECTIONS = 4
FRAMES_A_SECOND = 5
"""A real agent looks five times a second for what is new."""
FETCH_EVERY_S = 1.0
"""A browser that shows the list asks for it again after a hint, at most once a second."""
QUIET_EVENTS = 15
READ_S = 30


class Hint(msgspec.Struct, frozen=True):
    """A message of the stream."""

    at: float
    topics: str


class Browser:
    """One stream, and the page that is asked for again after a hint."""

    def __init__(self, access: Access, fetches: bool) -> None:
        self.hints: list[Hint] = []
        self.fetched_ms: list[float] = []
        self._access, self._fetches = access, fetches
        self._woken = asyncio.Event()

    async def listen(self) -> None:
        """Until it is cancelled."""
        reader, writer = await self._ask(f"/live?project={self._access.project}")
        try:
            while line := await asyncio.wait_for(reader.readline(), READ_S):
                if line.startswith(b"data:"):
                    self.hints.append(Hint(time.monotonic(), line.decode()))
                    self._woken.set()
        finally:
            writer.transport.abort()

    async def look(self) -> None:
        """The list, again and again, as the page's own script does."""
        while self._fetches:
            await self._woken.wait()
            self._woken.clear()
            began = time.monotonic()
            await self._read_page()
            self.fetched_ms.append((time.monotonic() - began) * 1e3)
            await asyncio.sleep(FETCH_EVERY_S)

    async def _read_page(self) -> None:
        path = f"/p/{self._access.project}/tasks"
        reader, writer = await self._ask(path, "HX-Request: true\r\nConnection: close\r\n")
        try:
            answer = await asyncio.wait_for(reader.read(-1), READ_S)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"The page was answered with {answer[:80]!r}.")
        finally:
            writer.close()

    async def _ask(
        self, path: str, more: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = urlsplit(self._access.url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nCookie: {self._access.cookie}\r\n"
            f"{more}\r\n".encode()
        )
        return reader, writer


class Sent(msgspec.Struct):
    """When each number left and when it was acknowledged."""

    left: dict[int, float] = {}
    acked: dict[int, float] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--rate", type=float, default=1_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="queuedeck-bench-") as place:
        server = Server(Path(place))
        try:
            server.start()
            report = asyncio.run(_run(server, options))
        finally:
            server.stop()
    sys.stdout.write(json.dumps(report) + "\n")


async def _run(server: Server, options: argparse.Namespace) -> dict[str, object]:
    count = min(QUIET_EVENTS, int(2 * options.seconds))

    async def slowly(server: Server, browsers: list[Browser]) -> dict[str, object]:
        return await _quiet(server, browsers, count)

    quiet = await _with_browsers(server, options.browsers, fetches=False, act=slowly)
    report: dict[str, object] = {
        "browsers": options.browsers,
        "events_per_second": options.rate,
        "named_ms": quiet["ms"],
    }

    async def busy(server: Server, browsers: list[Browser]) -> dict[str, object]:
        return await _busy(server, browsers, options.rate, options.seconds)

    streams = await _with_browsers(server, options.browsers, fetches=False, act=busy)
    lists = await _with_browsers(server, options.browsers, fetches=True, act=busy)
    return report | {"streams_only": streams, "with_task_list_open": lists}


async def _with_browsers(
    server: Server,
    count: int,
    *,
    fetches: bool,
    act: Callable[[Server, list[Browser]], Awaitable[dict[str, object]]],
) -> dict[str, object]:
    browsers = [Browser(server.access, fetches) for _ in range(count)]
    work = [asyncio.create_task(part) for b in browsers for part in (b.listen(), b.look())]
    try:
        await asyncio.sleep(1)
        return await act(server, browsers)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def _quiet(server: Server, browsers: list[Browser], count: int) -> dict[str, object]:
    """One event a second; each browser hears its name."""
    left: dict[str, float] = {}

    def one_by_one() -> Iterator[bytes]:
        for number, task_id in zip(range(count), task_ids(77), strict=False):
            if number:  # The first comes with the agent itself, which the stream tells as well.
                left[task_id] = time.monotonic()
            yield wire.encode(event(PUBLISHED, task_id, number, now_us(), b"{}"))

    stop_at = time.monotonic() + count + READ_S
    sender = Sender(server.access, one_by_one(), stop_at=stop_at, rate=1, frame_events=1)
    await sender.run()
    await asyncio.sleep(1)
    waits = [
        (hint.at - at) * 1e3
        for browser in browsers
        for task_id, at in left.items()
        for hint in [next((h for h in browser.hints if task_id in h.topics), None)]
        if hint is not None
    ]
    return {"ms": _quantiles(waits)}


async def _busy(
    server: Server, browsers: list[Browser], rate: float, seconds: float
) -> dict[str, object]:
    until = time.monotonic() + seconds
    each = rate / CONNECTIONS
    noted = [Sent() for _ in range(CONNECTIONS)]
    senders = [
        Sender(
            server.access,
            records(Shape(secrets.randbits(30), 50), now_us, Until(until)),
            stop_at=until + READ_S,
            rate=each,
            frame_events=max(1, round(each / FRAMES_A_SECOND)),
            on_send=_noting(sent.left),
            on_ack=_noting(sent.acked),
        )
        for sent in noted
    ]
    began, cpu = time.monotonic(), server.cpu_s()
    reports = await asyncio.gather(*(sender.run() for sender in senders))
    took, cpu = time.monotonic() - began, server.cpu_s() - cpu
    fetched = [ms for browser in browsers for ms in browser.fetched_ms]
    return {
        "hint_ms": _quantiles(_waits(browsers, noted)),
        "ack_ms": _quantiles([wait for report in reports for wait in report.waits_ms]),
        "page_ms": _quantiles(fetched),
        "pages_per_second": round(len(fetched) / took, 1),
        "measured_events_per_second": round(sum(report.acked for report in reports) / took),
        "server_cores": round(cpu / took, 3),
        "pss_mb": round(server.pss_mb()),
    }


def _noting(times: dict[int, float]) -> Callable[[int], None]:
    return lambda number: times.__setitem__(number, time.monotonic())


def _waits(browsers: list[Browser], noted: list[Sent]) -> list[float]:
    """Milliseconds from each frame to the first hint that each browser had after its ack."""
    waits: list[float] = []
    for browser in browsers:
        for sent in noted:
            hints = iter(browser.hints)
            hint = next(hints, None)
            for number, acked in sorted(sent.acked.items()):
                while hint is not None and hint.at < acked:
                    hint = next(hints, None)
                if hint is None:
                    break
                if number in sent.left:
                    waits.append((hint.at - sent.left[number]) * 1e3)
    return waits


def _quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    values.sort()
    return {
        "p50": round(statistics.median(values), 1),
        "p95": round(values[int(len(values) * 0.95)], 1),
        "p99": round(values[int(len(values) * 0.99)], 1),
    }


if __name__ == "__main__":
    main()
