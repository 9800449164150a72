# SPDX-License-Identifier: AGPL-3.0-only
"""How many events a second the server's ingest takes in: decoding, group commit with FULL
durability, state rules, counters. In one process, without network; prints one JSON line.

    uv run python -m benchmarks.ingest --in-process --tasks 50000
"""

import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from benchmarks.payload import ARGS, KWARGS

from queuedeck.clock import now_us
from queuedeck.domain.tasks.ingest import CommandResult, Ingest
from queuedeck.history.batches import Recorded
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.live import Live
from queuedeck.server import SWITCH_INTERVAL_S
from queuedeck_agent import wire

SOURCE = "0123456789ab"
NAMES = [f"shop.tasks.task_{number}" for number in range(40)]
WORKERS = [f"celery@worker-{number}" for number in range(8)]
FRAME_EVENTS = wire.MAX_FRAME_EVENTS
FAILS_EVERY = 20
LANES = 4
WINDOW = 8
"""Frames in flight per lane."""
AGE_TASKS = 400
"""So many tasks are in flight between one of their events and the next."""
SEALED = b"0a1b2c3d" + os.urandom(440)
SHOWN = json.dumps({"args": ARGS, "kwargs": KWARGS | {"api_token": "[redacted]"}}).encode()


def main(tasks: int) -> None:
    sys.stdout.write(json.dumps(measure(tasks)) + "\n")


def measure(tasks: int) -> dict[str, object]:
    """Take in so many tasks on a new file."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        report = asyncio.run(_run(path, tasks, LANES, WINDOW))
        return report | _sizes(path, tasks)


async def _run(path: Path, tasks: int, lanes: int, window: int) -> dict[str, object]:
    lane_parts = [list(_parts(lane, tasks // lanes)) for lane in range(lanes)]
    history = SqliteHistory(path)
    began = time.perf_counter()
    await history.open()
    open_ms = (time.perf_counter() - began) * 1e3
    ingest = Ingest(history, Live(), _no_commands)
    ingest.start()
    waits: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_feed(ingest, parts, window, waits) for parts in lane_parts))
    took, used = time.perf_counter() - began, time.process_time() - cpu
    totals = await history.totals(1)
    list_ms = await _list_ms(history)
    await ingest.stop()
    await history.close()
    waits.sort()
    return {
        "events": totals.events,
        "events_per_s": round(totals.events / took),
        "cpu_us_per_event": round(used / totals.events * 1e6, 1),
        "ack_p50_ms": round(statistics.median(waits) * 1e3, 1),
        "ack_p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 1),
        "states": totals.states,
        "open_ms": round(open_ms, 1),
        **list_ms,
    }


async def _feed(
    ingest: Ingest, parts: list[wire.LanePart], window: int, waits: list[float]
) -> None:
    """Send a lane's parts in order, at most `window` of them unacknowledged."""
    room = asyncio.Semaphore(window)

    async def wait(done: asyncio.Future[Recorded], began: float) -> None:
        await done
        waits.append(time.perf_counter() - began)
        room.release()

    async with asyncio.TaskGroup() as waiting:
        for part in parts:
            await room.acquire()
            done = ingest.submit(1, "bench", part)
            waiting.create_task(wait(done, time.perf_counter()))


def _parts(lane: int, tasks: int) -> Iterator[wire.LanePart]:
    """The life of so many tasks, interleaved as in a busy worker, cut into frames."""
    records = [msgspec.Raw(wire.encode(event)) for event in _events(lane, tasks)]
    for at in range(0, len(records), FRAME_EVENTS):
        some = records[at : at + FRAME_EVENTS]
        yield wire.LanePart(f"{lane:032x}", at + len(some), some)


def _events(lane: int, tasks: int) -> Iterator[wire.AnyEvent]:
    start = now_us()
    yield wire.SourceSeen(start, SOURCE, "celery", "redis://localhost:6379/0", "5.6.2")
    ids = [str(uuid.uuid4()) for _ in range(tasks)]
    for step in range(0, tasks + 3 * AGE_TASKS, AGE_TASKS):
        for stage in range(3, -1, -1):
            for number in range(step - stage * AGE_TASKS, step - (stage - 1) * AGE_TASKS):
                if 0 <= number < tasks:
                    yield _event(stage, ids[number], lane + number, start + number * 100)


def _event(stage: int, task_id: str, number: int, start: int) -> wire.AnyEvent:
    at, name = start + stage * 1_000, NAMES[number % len(NAMES)]
    worker = WORKERS[number % len(WORKERS)]
    if stage == 0:
        return wire.TaskPublished(
            at, SOURCE, task_id, 1, name, "celery", SHOWN, SEALED,
            root_id=task_id, origin="7@web-1", routing_key="celery",
        )  # fmt: skip
    if stage == 1:
        return wire.TaskReceived(at, SOURCE, task_id, 1, name, worker, "celery")
    if stage == 2:
        return wire.TaskStarted(
            at, SOURCE, task_id, 1, name, worker, "celery", published_us=start, root_id=task_id
        )
    if number % FAILS_EVERY == 0:
        trace = "Traceback (most recent call last):\n" + '  File "shop/tasks.py", line 7\n' * 30
        return wire.TaskFailed(
            at, SOURCE, task_id, 1, "ValueError", "no stock", trace, 900, worker=worker
        )
    return wire.TaskSucceeded(at, SOURCE, task_id, 1, 900, b'{"ok":true}', worker=worker)


async def _list_ms(history: SqliteHistory) -> dict[str, object]:
    questions = {
        "list_ms": TaskFilter(),
        "list_name_ms": TaskFilter(names=(NAMES[3],)),
        "list_no_match_ms": TaskFilter(workers=(WORKERS[0],), not_names=("*",)),
    }
    report: dict[str, object] = {}
    for name, question in questions.items():
        times: list[float] = []
        for _ in range(5):
            began = time.perf_counter()
            await history.list_tasks(1, question, 50)
            times.append((time.perf_counter() - began) * 1e3)
        report[name] = round(statistics.median(times), 2)
    return report


async def _no_commands(project_id: int, results: list[CommandResult]) -> None:
    """There are no commands in this benchmark."""


def _sizes(path: Path, tasks: int) -> dict[str, object]:
    """Bytes a task on disk, by table and index where SQLite can say."""
    report: dict[str, object] = {"bytes_per_task": round(path.stat().st_size / tasks)}
    with closing(sqlite3.connect(path)) as db:
        try:
            rows = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
        except sqlite3.OperationalError:  # This SQLite was built without dbstat.
            return report
    parts = {name: round(size / tasks) for name, size in rows if size / tasks >= 1}
    return report | {"bytes_by_table": parts}
