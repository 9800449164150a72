# SPDX-License-Identifier: AGPL-3.0-only
"""The events of one lane: three for each task (published, started, ended), a block of tasks apart,
so that a task's events come in different frames and groups. The same seed gives the same task ids.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator

import msgspec
from benchmarks.payload import ARGS, KWARGS

from queuedeck.clock import Clock
from queuedeck_agent import wire

SOURCE = "0123456789ab"
NAMES = [f"shop.tasks.task_{number}" for number in range(40)]
QUEUES = ["celery", "mail", "payments", "reports"]
WORKERS = [f"celery@worker-{number}" for number in range(8)]
ERRORS = ["shop.errors.OutOfStock", "shop.errors.CardDeclined", "TimeoutError", "ValueError"]
_FRAMES = ("tasks", "checkout", "stock", "warehouse", "http", "sockets")
FAILS_EVERY = 20
"""Of so many tasks one fails, with a traceback."""
PUBLISHED, STARTED, ENDED = range(3)

_OVERHEAD_BYTES = 36
"""Of a sealed call: key id, nonce and tag."""
_noise = os.urandom(1 << 20)
"""Sealed calls are slices of it: they do not compress, as real ones do not."""


class Shape(msgspec.Struct, frozen=True):
    """What the tasks of a lane look like."""

    seed: int
    block: int = 2_000
    """So many tasks of the lane lie between two events of one task."""
    arguments_bytes: int = 0
    """Length of the redacted arguments; 0 for the standard payload (330 bytes)."""


def order(block: int, going: Callable[[], bool]) -> Iterator[tuple[int, int]]:
    """(stage, task number) of each event; once `going` says no, what has begun is finished."""
    now, last = 0, None
    while last is None or now <= last + ENDED:
        if last is None and not going():
            last = now - 1
        for stage in (ENDED, STARTED, PUBLISHED):
            at = now - stage
            if at >= 0 and (last is None or at <= last):
                for number in range(at * block, (at + 1) * block):
                    yield stage, number
        now += 1


class Until:
    """For `order`: until a time of the monotonic clock. Counts the blocks it allowed."""

    def __init__(self, end: float) -> None:
        self._end = end
        self.blocks = 0

    def __call__(self) -> bool:
        going = time.monotonic() < self._end
        self.blocks += going
        return going


def blocks(count: int) -> Callable[[], bool]:
    """For `order`: so many blocks, then no more."""
    left = iter(range(count))
    return lambda: next(left, None) is not None


def task_ids(seed: int) -> Iterator[str]:
    """The ids of a lane's tasks, one after another: random UUIDs."""
    source = random.Random(seed)
    while True:
        digits = f"{source.getrandbits(128):032x}"
        yield f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def records(shape: Shape, clock: Clock, going: Callable[[], bool]) -> Iterator[bytes]:
    """The records of a lane, numbered from 1: the source, then the events."""
    yield wire.encode(
        wire.SourceSeen(clock(), SOURCE, "celery", "redis://localhost:6379/0", "5.6.2")
    )
    made, known = task_ids(shape.seed), dict[int, str]()
    arguments = standard_arguments(shape.arguments_bytes)
    for stage, number in order(shape.block, going):
        if stage == PUBLISHED:
            known[number] = next(made)
        task_id = known.pop(number) if stage == ENDED else known[number]
        yield wire.encode(event(stage, task_id, shape.seed * 7 + number, clock(), arguments))


def event(stage: int, task_id: str, number: int, at: int, arguments: bytes) -> wire.AnyEvent:
    """One of the three events of a task."""
    name, worker = NAMES[number % len(NAMES)], WORKERS[number % len(WORKERS)]
    queue = QUEUES[number % len(QUEUES)]
    if stage == PUBLISHED:
        begin = number * 97 % (len(_noise) - 2_000)
        sealed = b"0a1b2c3d" + _noise[begin : begin + len(arguments) + _OVERHEAD_BYTES]
        shown = arguments.replace(b"ord_7f3a91c2", b"ord_%08x" % (number & 0xFFFFFFFF))
        return wire.TaskPublished(
            at, SOURCE, task_id, 1, name, queue, shown, sealed,
            root_id=task_id, origin="7@web-1", routing_key=queue,
        )  # fmt: skip
    if stage == STARTED:
        return wire.TaskStarted(at, SOURCE, task_id, 1, name, worker, queue, root_id=task_id)
    if number % FAILS_EVERY == 0:
        kind = ERRORS[number // FAILS_EVERY % len(ERRORS)]
        message = f"order {number} cannot be filled"
        return wire.TaskFailed(
            at, SOURCE, task_id, 1, kind, message, _traceback(number, kind, message),
            900 + number % 5_000, worker=worker,
        )  # fmt: skip
    run_us = 900 + number * 7_919 % 90_000
    return wire.TaskSucceeded(at, SOURCE, task_id, 1, run_us, b'{"ok":true}', worker=worker)


def standard_arguments(length: int = 0) -> bytes:
    """The standard payload as it is shown, or one of about this length."""
    standard = json.dumps({"args": ARGS, "kwargs": KWARGS | {"api_token": "[redacted]"}}).encode()
    if not length:
        return standard
    note = "please leave it at the door " * 50
    words = {"customer": "anna.lindqvist@example.com", "note": ""}
    room = max(0, length - len(json.dumps({"args": ["ord_7f3a91c2"], "kwargs": words})))
    words["note"] = note[:room]
    return json.dumps({"args": ["ord_7f3a91c2"], "kwargs": words}).encode()


def _traceback(number: int, kind: str, message: str) -> str:
    line = 10 + number // FAILS_EVERY % 7
    frames = [
        f'  File "/srv/shop/{part}.py", line {line + depth}, in {part}\n'
        f"    return {part}_of(order, retries={depth})\n"
        for depth, part in enumerate(_FRAMES)
    ]
    return f"Traceback (most recent call last):\n{''.join(frames)}{kind}: {message}\n"
