# SPDX-License-Identifier: AGPL-3.0-only
"""What recording one event costs the host, and what reading it costs the link: one JSON line.

uv run python -m benchmarks.spool [--events N]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from queuedeck_agent import wire
from queuedeck_agent.recorder import Recorder
from queuedeck_agent.shipper import Shipper
from queuedeck_agent.spool import Spool

ARGUMENTS_BYTES = 330
SPOOL_BYTES = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    events: int = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lanes").mkdir()
        spool = Spool("0" * 32, Path(folder), SPOOL_BYTES)
        emits, first_us = _emit(spool, events)
        link_us, frames = _ship(spool)
    emits.sort()
    print(
        json.dumps(
            {
                "events": events,
                "emit_p50_us": round(emits[events // 2] / 1e3, 2),
                "emit_mean_us": round(sum(emits) / events / 1e3, 2),
                "emit_p99_us": round(emits[events * 99 // 100] / 1e3, 2),
                "emit_max_us": round(emits[-1] / 1e3, 1),
                "first_emit_us": round(first_us, 1),
                "ship_us": round(link_us / events, 2),
                "frames": frames,
            }
        )
    )


def _emit(spool: Spool, events: int) -> tuple[list[int], float]:
    """Nanoseconds of each emit; a third each of published, started and succeeded."""
    recorder = Recorder(spool)
    clock = time.perf_counter_ns
    begun = clock()
    recorder.emit(_event(0))
    first_us = (clock() - begun) / 1e3
    taken: list[int] = []
    for number in range(events):
        event = _event(number)
        begun = clock()
        recorder.emit(event)
        taken.append(clock() - begun)
    recorder.close()
    return taken, first_us


def _event(number: int) -> wire.Event:
    task_id = f"6f1c1b52-7f3e-4a8e-9d5a-{number:012}"
    if number % 3 == 0:
        return wire.TaskPublished(
            number, "abcdef012345", task_id, 1, "shop.tasks.send", "celery", b"x" * ARGUMENTS_BYTES
        )
    if number % 3 == 1:
        return wire.TaskStarted(
            number, "abcdef012345", task_id, 1, "shop.tasks.send", "celery@host", "celery"
        )
    return wire.TaskSucceeded(number, "abcdef012345", task_id, 1, 1_000, b"null")


def _ship(spool: Spool) -> tuple[float, int]:
    """Microseconds of CPU to read, check and frame everything, without the network."""
    shipper = Shipper(spool)
    shipper.claim_lanes()
    frames = 0
    begun = time.thread_time_ns()
    while shipper.next_frame(1 << 20) is not None:
        frames += 1
        shipper.acknowledged({lane: reader.sent for lane, reader in shipper.readers.items()})
    spent = (time.thread_time_ns() - begun) / 1e3
    shipper.close()
    return spent, frames


if __name__ == "__main__":
    main()
