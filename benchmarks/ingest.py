# SPDX-License-Identifier: AGPL-3.0-only
"""How many events a second are acknowledged after their commit, end to end: agents in processes of
their own speak the real protocol with a real `queuedeck serve`, and now and then cut their
connection before they have read what was acknowledged. What was stored is then read back. One line
of JSON.

    uv run python -m benchmarks.ingest --database sqlite --seconds 20 --connections 4
    uv run python -m benchmarks.ingest --database postgres
    uv run python -m benchmarks.ingest --in-process    # SQLite without the network, by table
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
from benchmarks import inprocess
from benchmarks.database import add_options, database_cpu_s, database_for
from benchmarks.load import Shape, Until, records
from benchmarks.sender import Report, Sender
from benchmarks.server import Access, Server
from benchmarks.stored import Stored, read_back

from queuedeck.clock import now_us

DRAIN_S = 120
"""After the seconds are over, so long what has begun may take to be acknowledged."""
SAMPLE_EVERY_S = 1.0


class Plan(msgspec.Struct, frozen=True):
    """What one generator process does."""

    access: Access
    shapes: list[Shape]
    seconds: float
    cut_every_s: float
    core: int | None


class Told(msgspec.Struct, frozen=True):
    """What a generator process says in the end."""

    began: float
    """By the clock of the machine, which all processes share."""
    ended: float
    cpu_s: float
    lanes: list[Report]


def main() -> None:
    options = _options()
    if options.in_process:
        inprocess.main(options.tasks)
        return
    with (
        database_for(options) as url,
        tempfile.TemporaryDirectory(prefix="queuedeck-bench-") as place,
    ):
        server = Server(Path(place), url)
        try:
            server.start()
            report = _measure(server, options)
        finally:
            server.stop()
        checked = asyncio.run(read_back(server, report["lanes"]))  # pyright: ignore[reportArgumentType]
        sys.stdout.write(json.dumps(_summary(server, report, checked)) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1, help="generators")
    parser.add_argument("--cut-every", type=float, default=3, help="seconds per connection, 0: no")
    parser.add_argument("--block", type=int, default=2_000, help="tasks between a task's events")
    parser.add_argument("--arguments-bytes", type=int, default=0, help="0: the standard payload")
    parser.add_argument("--pin", action="store_true", help="generators on the last core alone")
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--tasks", type=int, default=50_000, help="with --in-process")
    options = parser.parse_args()
    if options.in_process and options.arguments_bytes:
        parser.error("--arguments-bytes is for runs over the network, not for --in-process")
    return options


def _measure(server: Server, options: argparse.Namespace) -> dict[str, object]:
    """Runs the generators; what they saw, and what the server used meanwhile."""
    shapes = [
        Shape(seed, options.block, options.arguments_bytes)
        for seed in range(1, options.connections + 1)
    ]
    core = max(os.sched_getaffinity(0)) if options.pin else None
    plans = [
        Plan(
            server.access,
            shapes[number :: options.processes],
            options.seconds,
            options.cut_every,
            core,
        )
        for number in range(options.processes)
    ]
    memory, stop = [server.pss_mb()], threading.Event()
    watch = threading.Thread(target=_watch, args=(server, memory, stop), daemon=True)
    watch.start()
    cpu, database_cpu = server.cpu_s(), database_cpu_s(server.settings)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, context) as pool:
        told = [pool.submit(generate, plan) for plan in plans]
        limit = time.monotonic() + options.seconds + DRAIN_S + 60
        answers = [each.result(limit - time.monotonic()) for each in told]
    cpu = server.cpu_s() - cpu
    database_cpu = database_cpu_s(server.settings) - database_cpu
    stop.set()
    watch.join(10)
    lanes = [
        (shape, report)
        for plan, answer in zip(plans, answers, strict=True)
        for shape, report in zip(plan.shapes, answer.lanes, strict=True)
    ]
    took = max(answer.ended for answer in answers) - min(answer.began for answer in answers)
    return {
        "lanes": lanes,
        "took": took,
        "cpu": cpu,
        "database_cpu": database_cpu,
        "memory": max(memory),
        "generator_cpu": sum(answer.cpu_s for answer in answers),
    }


def generate(plan: Plan) -> Told:
    """In a process of its own: so many agents for so many seconds."""
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    return asyncio.run(_generate(plan))


async def _generate(plan: Plan) -> Told:
    until = time.monotonic() + plan.seconds
    going = [Until(until) for _ in plan.shapes]
    senders = [
        Sender(
            plan.access,
            records(shape, now_us, wanted),
            stop_at=until + DRAIN_S,
            cut_every_s=plan.cut_every_s,
        )
        for shape, wanted in zip(plan.shapes, going, strict=True)
    ]
    began, cpu = time.time(), time.process_time()
    reports = await asyncio.gather(*(sender.run() for sender in senders))
    for report, wanted in zip(reports, going, strict=True):
        report.blocks = wanted.blocks
    return Told(began, time.time(), time.process_time() - cpu, list(reports))


def _watch(server: Server, memory: list[float], stop: threading.Event) -> None:
    while not stop.wait(SAMPLE_EVERY_S):
        memory.append(server.pss_mb())


def _summary(server: Server, report: dict[str, object], checked: Stored) -> dict[str, object]:
    lanes: list[tuple[Shape, Report]] = report["lanes"]  # pyright: ignore[reportAssignmentType]
    took, cpu = float(str(report["took"])), float(str(report["cpu"]))
    waits = sorted(wait for _, lane in lanes for wait in lane.waits_ms)
    acked = sum(lane.acked - 1 for _, lane in lanes)
    return {
        "events_per_second": round(acked / took),
        "acked_events": acked,
        "stored_events": checked.events,
        "lost": checked.lost,
        "duplicated": checked.duplicated,
        "violations": [text for _, lane in lanes for text in lane.violations],
        "ack_p50_ms": round(waits[len(waits) // 2], 1),
        "ack_p99_ms": round(waits[int(len(waits) * 0.99)], 1),
        "server_cpu_us_per_event": round(cpu / acked * 1e6, 1),
        "database_cpu_us_per_event": round(float(str(report["database_cpu"])) / acked * 1e6, 1),
        "generator_cpu_us_per_event": round(float(str(report["generator_cpu"])) / acked * 1e6, 1),
        "pss_mb": round(float(str(report["memory"]))),
        "bytes_per_task": round(server.history_bytes() / max(1, checked.tasks)),
        "tasks": checked.tasks,
        "timelines_read": checked.timelines,
        "cuts": sum(lane.cuts for _, lane in lanes),
        "seconds": round(took, 1),
    }


if __name__ == "__main__":
    main()
