# SPDX-License-Identifier: AGPL-3.0-only
"""How long the pages and the API take over many tasks, while events come in. One line of JSON.

    uv run python -m benchmarks.reads --database sqlite|postgres --tasks 1000000

The tasks are written by the product's own writer, spread over `--days`, then asked for over HTTP.
What this version does not offer is left out.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from benchmarks.database import add_options, database_for, history_of
from benchmarks.load import (
    ENDED,
    NAMES,
    PUBLISHED,
    QUEUES,
    SOURCE,
    STARTED,
    WORKERS,
    Shape,
    records,
    standard_arguments,
    task_ids,
)
from benchmarks.load import event as load_event
from benchmarks.sender import Sender
from benchmarks.server import Access, Server

from queuedeck.clock import DAY_US, now_us
from queuedeck.history.batches import Batch, Poison
from queuedeck_agent import wire

GROUP_TASKS = 1_500
RARE = "kestrelquartz"
"""A word in the arguments, or in the error, of a few tasks."""
RARE_TASKS = 7
WARM_UP_S = 3.0
ASK_S = 60
WRITER_S = 3_600
OK = 200

Ask = Callable[[int], str]
"""The path of a question, for its n-th time."""


def main() -> None:
    options = _options()
    with (
        database_for(options) as url,
        tempfile.TemporaryDirectory(prefix="queuedeck-bench-", dir=options.folder) as place,
    ):
        server = Server(Path(place), url)
        began = time.perf_counter()
        ids = asyncio.run(fill(server, options.tasks, options.days))
        filled_s = time.perf_counter() - began
        if options.wait:
            sys.stderr.write(f"Filled in {filled_s:.0f} s. Enter: start the server and measure.\n")
            sys.stdin.readline()
        try:
            start_ms = server.start()
            with _writing(server.access, options.rate):
                queries = _measure(server.access, ids, options.repeats)
            pss_mb = server.pss_mb()
        finally:
            server.stop()
        report = {
            "database": options.database,
            "tasks": options.tasks,
            "days": options.days,
            "events_per_second": options.rate,
            "queries": queries,
            "filled_s": round(filled_s),
            "start_ms": round(start_ms),
            "pss_mb": round(pss_mb),
            "history_mb": round(server.history_bytes() / (1 << 20)),
        }
        sys.stdout.write(json.dumps(report) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rate", type=float, default=5_000, help="events a second meanwhile")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--wait", action="store_true", help="for Enter, once the tasks are there")
    parser.add_argument("--folder", help="where to put the files; the system's by default")
    return parser.parse_args()


async def fill(server: Server, tasks: int, days: int) -> list[str]:
    """Write finished tasks, oldest first; some of their ids, of all ages."""
    history = history_of(server.settings)
    await history.open()
    ids, first, kept = task_ids(0), 1, list[str]()
    newest, step = now_us() - 60_000_000, days * DAY_US // tasks
    try:
        for begin in range(0, tasks, GROUP_TASKS):
            numbers = range(begin, min(tasks, begin + GROUP_TASKS))
            some = [next(ids) for _ in numbers]
            kept += some[:: max(1, tasks // 2_000)]
            events: list[wire.AnyEvent | Poison] = [
                wire.SourceSeen(newest, SOURCE, "celery", "redis://localhost:6379/0"),
                *lives(numbers, some, newest - (tasks - begin) * step, step, tasks),
            ]
            last = first + len(events) - 1
            await history.record(
                [Batch(server.access.project_id, "f" * 32, "fill", first, last, events)]
            )
            first = last + 1
        while await history.sum_up():  # As the server did while the days went by.
            pass
    finally:
        await history.close()
    return kept


def lives(
    numbers: range, ids: list[str], at: int, step: int, tasks: int
) -> Iterator[wire.AnyEvent]:
    """The events of finished tasks, one after the other in time; a few have a rare word."""
    arguments = standard_arguments()
    for index, (number, task_id) in enumerate(zip(numbers, ids, strict=True)):
        shown, begin = arguments, at + index * step
        if number % max(1, tasks // RARE_TASKS) == 3:
            shown = shown.replace(b"priority-eu", f"{RARE}{number % 10}".encode())
        yield load_event(PUBLISHED, task_id, number, begin, shown)
        yield load_event(STARTED, task_id, number, begin + 20_000 + number % 300_000, shown)
        ended = load_event(ENDED, task_id, number, begin + 400_000 + number % 900_000, shown)
        if isinstance(ended, wire.TaskFailed) and number % max(20, tasks // RARE_TASKS) < 20:
            ended = msgspec.structs.replace(ended, message=f"{RARE} broke")
        yield ended


@contextlib.contextmanager
def _writing(access: Access, rate: float) -> Generator[None]:
    """An agent in another process that sends so many events a second meanwhile."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    writer = context.Process(target=_write, args=(access, rate, stop), daemon=True)
    writer.start()
    time.sleep(WARM_UP_S)
    try:
        yield
    finally:
        stop.set()
        writer.join(ASK_S)
    if writer.exitcode != 0:
        raise SystemExit(f"The agent that writes meanwhile ended with {writer.exitcode}.")


def _write(access: Access, rate: float, stop: Event) -> None:
    shape = Shape(int.from_bytes(os.urandom(4), "big"), 500)
    sender = Sender(
        access,
        records(shape, now_us, lambda: not stop.is_set()),
        stop_at=time.monotonic() + WRITER_S,
        rate=rate,
    )
    asyncio.run(sender.run())


def _measure(access: Access, ids: list[str], repeats: int) -> dict[str, dict[str, float]]:
    client = Client(access)
    found: dict[str, dict[str, float]] = {}
    for name, ask in _questions(access, client, ids).items():
        if client.ask(ask(0)) != OK:
            continue
        times: list[float] = []
        for number in range(1, repeats + 1):
            began = time.perf_counter()
            status = client.ask(ask(number))
            times.append((time.perf_counter() - began) * 1e3)
            if status != OK:
                raise SystemExit(f"{ask(number)} was answered with {status}.")
        times.sort()
        found[name] = {
            "p50_ms": round(statistics.median(times), 1),
            "p95_ms": round(times[int(len(times) * 0.95)], 1),
        }
    return found


class Client:
    """One connection that stays open, as a browser's; with a token for the API, a cookie else."""

    def __init__(self, access: Access) -> None:
        place = urlsplit(access.url)
        self._access = access
        self._connection = http.client.HTTPConnection(place.netloc, timeout=ASK_S)
        self.body = b""

    def ask(self, path: str) -> int:
        headers = {"HX-Request": "true", "Cookie": self._access.cookie}
        if path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self._access.token}"}
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        self.body = answer.read()
        return answer.status


def _questions(access: Access, client: Client, ids: list[str]) -> dict[str, Ask]:
    """All that is measured; what is not answered with 200 does not exist."""
    api, page = f"/api/v1/projects/{access.project}", f"/p/{access.project}"
    chance = random.Random(5)
    some = [chance.choice(ids) for _ in range(500)]

    def listed(text: str, **more: str) -> Ask:
        return lambda _n: f"{api}/tasks?" + urlencode({"limit": "50", "q": text, **more})

    def each(make: Callable[[int], str]) -> Ask:
        return lambda n: f"{api}/tasks?" + urlencode({"limit": "50", "q": make(n)})

    return {
        "first page": listed(""),
        "a later page": listed("", after=_later(client, api)),
        "state": each(lambda n: f"state:{('failed', 'running', 'succeeded')[n % 3]}"),
        "name": each(lambda n: f"task:{NAMES[n % len(NAMES)]}"),
        "queue": each(lambda n: f"queue:{QUEUES[n % len(QUEUES)]}"),
        "worker": each(lambda n: f"worker:{WORKERS[n % len(WORKERS)]}"),
        "name and state": each(lambda n: f"task:{NAMES[n * 20 % 40]} state:failed"),
        "error": each(lambda n: f"error:{('TimeoutError', 'ValueError')[n % 2]}"),
        "run time": listed("runtime:>80ms"),
        "id": each(lambda n: f"id:{some[n]}"),
        "task and its timeline": lambda n: f"{api}/tasks/celery/{quote(some[n])}",
        "a rare word": each(lambda n: f"{RARE}{n % 10}"),
        "a rare word in errors": listed(f"{RARE} broke"),
        "a word that is nowhere": each(lambda n: f"nowhere{n}"),
        "totals": lambda _n: f"{api}/totals",
        "facets": lambda _n: f"{api}/tasks/facets",
        "histogram": lambda _n: f"{api}/tasks/histogram",
        "trends, 30 days": lambda _n: f"{api}/trends?range=30d",
        "trends by name, 30 days": lambda _n: f"{api}/trends/tasks?range=30d",
        "failure groups": lambda _n: f"{api}/errors",
        "page: tasks": lambda _n: f"{page}/tasks",
        "page: task": lambda n: f"{page}/tasks/celery/{quote(some[n])}",
        "page: facets": lambda _n: f"{page}/tasks/facets",
        "page: histogram": lambda _n: f"{page}/tasks/histogram",
        "page: trends, 30 days": lambda _n: f"{page}/trends?range=30d",
        "page: errors": lambda _n: f"{page}/errors",
    }


def _later(client: Client, api: str) -> str:
    """The cursor of a page some way down."""
    after = ""
    for _ in range(20):
        client.ask(f"{api}/tasks?" + urlencode({"limit": "200", "after": after}))
        after = json.loads(client.body).get("next") or after
    return after


if __name__ == "__main__":
    main()
