# SPDX-License-Identifier: AGPL-3.0-only
"""An agent in a process of its own that sends numbered events over the real protocol, and writes
down by itself, before and after, what it sent and what was acknowledged.

Argument: its plan as JSON. It ends once the file `stop` exists and all that it made is
acknowledged, or when its time is over.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
from benchmarks.sender import Sender
from benchmarks.server import Access
from tests.support.chaos_load import events

from queuedeck_agent import wire


class Plan(msgspec.Struct, frozen=True):
    url: str
    project: str
    key: str
    agent: int
    agents: int
    base_us: int
    rate: float
    record: str
    """The file it writes: `sent N`, `acked N`, `wrong TEXT`, `done N`."""
    stop: str
    seconds: float


def main(plan):
    record = os.open(plan.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(word, what):
        os.write(record, f"{word} {what}\n".encode())

    sender = Sender(
        Access(plan.url, plan.project, 0, plan.key, "", ""),
        _records(plan),
        stop_at=time.monotonic() + plan.seconds,
        rate=plan.rate,
        frame_events=40,
        on_send=lambda number: write("sent", number),
        on_ack=lambda number: write("acked", number),
        again_s=0.2,
    )
    report = asyncio.run(sender.run())
    for text in report.violations:
        write("wrong", text)
    write("done", report.acked)


def _records(plan):
    stop = Path(plan.stop)
    for number, event in enumerate(events(plan.agent, plan.agents, plan.base_us)):
        if number % 40 == 0 and stop.exists():
            return
        yield wire.encode(event)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Plan))
