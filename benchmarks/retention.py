# SPDX-License-Identifier: AGPL-3.0-only
"""How long the writer is held while a full day is dropped. One line of JSON.

    uv run python -m benchmarks.retention --database sqlite|postgres --tasks 1000000
    uv run python -m benchmarks.retention --thin    # one project's tasks out of a day that stays

The product's own writer fills one day that is over, and takes it away again by the steps that the
server makes, while groups of events of today come in. A step holds the writer for as long as it
takes, but for those that drop a table of Postgres, beside it; a group waits for the step before it
and for its own commit.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from benchmarks.database import add_options, database_for, history_bytes
from benchmarks.load import SOURCE, task_ids
from benchmarks.reads import GROUP_TASKS, lives

from queuedeck.clock import DAY_US, now_us
from queuedeck.history.batches import Batch, Poison
from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.retention import Kept
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.history.store import History
from queuedeck.loops.retention import PAUSE_S
from queuedeck.settings import Settings
from queuedeck_agent import wire

OLD_DAYS = 20
KEEP_DAYS = 7
PROJECT = 1
HOURS_FILLED = 20
WARM_UP_S = 2.0
ALONE_S = 5.0
"""Groups come in before anything is dropped: what they wait for by themselves."""
LATE_TASKS = 150
"""Tasks of one group that comes in meanwhile: 450 events."""

Step = Callable[[History], Awaitable[bool]]


def main() -> None:
    options = _options()
    with (
        database_for(options) as url,
        tempfile.TemporaryDirectory(prefix="queuedeck-bench-", dir=options.folder) as place,
    ):
        settings = Settings(data=Path(place), database_url=url)
        asyncio.run(_fill(settings, options.tasks))
        full = history_bytes(settings)
        found = asyncio.run(_drop(settings, _thin if options.thin else _tidy))
        found |= {"mb_before": full >> 20, "mb_after": history_bytes(settings) >> 20}
        asked = {"database": options.database, "tasks": options.tasks, "thin": options.thin}
        sys.stdout.write(json.dumps(asked | found) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--thin", action="store_true", help="a project that keeps less")
    parser.add_argument("--folder", help="where to put the files; the system's by default")
    return parser.parse_args()


def _history(settings: Settings, ago_us: int = 0) -> History:
    def clock() -> int:
        return now_us() - ago_us

    if settings.database_url:
        return PostgresHistory(settings.database_url, clock)
    return SqliteHistory(settings.history_db, clock)


async def _fill(settings: Settings, tasks: int) -> None:
    """One day, as it was filled when it was today; its words are indexed."""
    ago_us = OLD_DAYS * DAY_US + now_us() % DAY_US - HOURS_FILLED * 3_600_000_000
    history, first = _history(settings, ago_us), 1
    await history.open()
    try:
        ids, begin_us = task_ids(0), (now_us() // DAY_US - OLD_DAYS) * DAY_US
        step = HOURS_FILLED * 3_600_000_000 // tasks
        for begin in range(0, tasks, GROUP_TASKS):
            numbers = range(begin, min(tasks, begin + GROUP_TASKS))
            some = [next(ids) for _ in numbers]
            at = begin_us + begin * step
            first = await _record(history, "f" * 32, first, lives(numbers, some, at, step, tasks))
        while await history.index_words():
            pass
    finally:
        await history.close()


async def _record(history: History, lane: str, first: int, tasks: Iterator[wire.AnyEvent]) -> int:
    """The next number of the lane."""
    events: list[wire.AnyEvent | Poison] = [
        wire.SourceSeen(now_us(), SOURCE, "celery", "redis://localhost:6379/0"),
        *tasks,
    ]
    last = first + len(events) - 1
    await history.record([Batch(PROJECT, lane, "bench", first, last, events)])
    return last + 1


async def _drop(settings: Settings, step: Step) -> dict[str, object]:
    history = _history(settings)
    await history.open()
    steps: list[float] = []
    waits: list[float] = []
    done = asyncio.Event()
    try:
        # Carried over first, as the server did on the day after.
        while await history.tidy(10_000):
            pass
        writing = asyncio.create_task(_write_meanwhile(history, waits, done))
        await asyncio.sleep(WARM_UP_S)  # The first group makes today's tables, and has new words.
        waits.clear()
        await asyncio.sleep(ALONE_S)
        alone = list(waits)
        waits.clear()
        began, more = time.perf_counter(), True
        while more:
            at = time.perf_counter()
            more = await step(history)
            steps.append(time.perf_counter() - at)
            await asyncio.sleep(PAUSE_S)
        took = time.perf_counter() - began
        done.set()
        await writing
    finally:
        await history.close()
    return {
        "seconds": round(took, 1),
        "steps": len(steps),
        "step_ms": _spread(steps),
        "group_alone_ms": _spread(alone),
        "group_ms": _spread(waits),
    }


async def _write_meanwhile(history: History, waits: list[float], done: asyncio.Event) -> None:
    ids, first, number = task_ids(7), 1, 0
    while not done.is_set():
        numbers = range(number, number + LATE_TASKS)
        some = [next(ids) for _ in numbers]
        tasks = lives(numbers, some, now_us() - 2_000_000, 1_000, 1 << 40)
        at = time.perf_counter()
        first = await _record(history, "e" * 32, first, tasks)
        waits.append(time.perf_counter() - at)
        number += LATE_TASKS
        await asyncio.sleep(0.1)


async def _tidy(history: History) -> bool:
    return await history.tidy(KEEP_DAYS)


async def _thin(history: History) -> bool:
    return await history.thin(Kept(project_id=PROJECT, task_days=KEEP_DAYS, payload_days=KEEP_DAYS))


def _spread(seconds: list[float]) -> dict[str, float]:
    """A step's time includes the wait for the group before it: the writer does one at a time."""
    ordered = sorted(seconds)
    return {
        "p50": round(ordered[len(ordered) // 2] * 1e3, 1),
        "p99": round(ordered[int(len(ordered) * 0.99)] * 1e3, 1),
        "longest": round(ordered[-1] * 1e3, 1),
    }


if __name__ == "__main__":
    main()
