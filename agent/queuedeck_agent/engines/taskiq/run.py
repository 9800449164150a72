# SPDX-License-Identifier: Apache-2.0
"""The task that runs where the code runs now, in coroutines and in the threads of sync tasks."""

import time
from contextvars import ContextVar
from typing import Any

import msgspec

STAMP = "queuedeck"
"""Our label: a JSON text, since some brokers put labels into headers."""
RETRIES = "_retries"
REQUEUES = "X-Taskiq-requeue"


class Stamp(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sender knows and the worker needs."""

    at: int = 0
    c: int = 0
    """1 if the sender captured the arguments."""
    p: str = ""
    """Parent."""
    r: str = ""
    """Root, if it is not the task itself."""
    o: str = ""
    """The task that an operator retried."""


NO_STAMP = Stamp()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Stamp).decode


class Run:
    """One execution in this process."""

    __slots__ = (
        "attempt", "captured", "coroutine", "exception", "labels", "name", "requeues", "resent",
        "skipped", "stamp", "started_ns", "target", "task_id", "terminated",
    )  # fmt: skip

    def __init__(self, message: Any) -> None:
        self.task_id: str = message.task_id
        self.name: str = message.task_name
        self.labels: dict[str, Any] = dict(message.labels)
        """As they were: retries and requeues count in the message itself."""
        self.attempt = attempt_of(self.labels)
        self.requeues = number(self.labels.get(REQUEUES))
        self.stamp = stamp_of(self.labels)
        self.captured = bool(self.stamp.c)
        self.exception: BaseException | None = None
        self.resent = False
        self.skipped = False
        """It was cancelled while it waited, and must not run."""
        self.target: Any = None
        """The function itself."""
        self.coroutine: Any = None
        """The task of asyncio that it goes on in."""
        self.terminated = False
        """An operator had it stopped."""
        self.started_ns = time.monotonic_ns()

    @property
    def root_id(self) -> str:
        return self.stamp.r or self.task_id

    def took_us(self) -> int:
        return (time.monotonic_ns() - self.started_ns) // 1_000


class Delivery:
    """One message that a worker took: what became of it."""

    __slots__ = ("message", "ran")

    def __init__(self) -> None:
        self.message: Any = None
        """Set once the worker knows the task."""
        self.ran = False


current: "ContextVar[Run | None]" = ContextVar("queuedeck_taskiq_run", default=None)
"""Inherited by the coroutines that a task starts, and by the thread of a sync task."""

delivery: "ContextVar[Delivery | None]" = ContextVar("queuedeck_taskiq_delivery", default=None)

retry_of: "ContextVar[str]" = ContextVar("queuedeck_taskiq_retry_of", default="")
"""The task that an operator retries, while the new message is sent."""


def attempt_of(labels: "dict[str, Any]") -> int:
    """1 for the first execution; middlewares count retries, `Context.requeue` its own."""
    return 1 + number(labels.get(RETRIES)) + number(labels.get(REQUEUES))


def number(value: Any) -> int:
    """Labels are texts on the way."""
    try:
        return max(int(value or 0), 0)
    except (TypeError, ValueError):
        return 0


def stamp_of(labels: "dict[str, Any]") -> Stamp:
    """What the sender's agent wrote into the message; empty without one."""
    text = labels.get(STAMP)
    if not isinstance(text, str):
        return NO_STAMP
    try:
        return _decode(text)
    except (msgspec.DecodeError, ValueError):
        return NO_STAMP


def write_stamp(labels: "dict[str, Any]", stamp: Stamp) -> None:
    """Overwrites that of an earlier attempt."""
    labels[STAMP] = _encode(stamp).decode()
