# SPDX-License-Identifier: Apache-2.0
"""The message that is being processed where the code runs now, in threads and coroutines alike."""

import time
from contextvars import ContextVar
from typing import Any

from queuedeck_agent.engines.dramatiq.call import STAMP

_NOTHING: "dict[str, Any]" = {}


class Run:
    """One execution of a message, from the first hook before it to the last one after it."""

    __slots__ = (
        "attempt", "captured", "ended_ns", "name", "next_us", "retried", "skipped", "stamp",
        "started", "started_ns", "task_id",
    )  # fmt: skip

    def __init__(self, message: Any) -> None:
        self.task_id: str = message.message_id
        self.name: str = message.actor_name
        self.attempt = attempt_of(message.options)
        self.stamp = stamp_of(message.options)
        self.captured = bool(self.stamp.get("c"))
        """Whether the arguments were reported, by the sender or here."""
        self.started = False
        self.skipped = False
        """We skipped it ourselves."""
        self.retried = False
        self.next_us = 0
        self.started_ns = time.monotonic_ns()
        self.ended_ns = 0

    @property
    def root_id(self) -> str:
        return self.stamp.get("r") or self.task_id

    def took_us(self) -> int:
        """Unknown (-1) for what never started."""
        if not self.started:
            return -1
        return ((self.ended_ns or time.monotonic_ns()) - self.started_ns) // 1_000


current: "ContextVar[Run | None]" = ContextVar("queuedeck_dramatiq_run", default=None)
"""Coroutines of async actors inherit it from the thread that waits for them."""

group: "ContextVar[str]" = ContextVar("queuedeck_dramatiq_group", default="")
"""The id of the group that is being sent."""

retry_of: "ContextVar[str]" = ContextVar("queuedeck_dramatiq_retry_of", default="")
"""The task that an operator retries, while the new message is sent."""


def attempt_of(options: "dict[str, Any]") -> int:
    """1 for the first execution; the Retries middleware counts in the message."""
    retries = options.get("retries")
    return retries + 1 if isinstance(retries, int) and retries > 0 else 1


def stamp_of(options: "dict[str, Any]") -> "dict[str, Any]":
    """What the sender's agent wrote into the message; empty without one."""
    stamp = options.get(STAMP)
    return stamp if isinstance(stamp, dict) else _NOTHING


def eta_us(options: "dict[str, Any]") -> int:
    """When a delayed message is due; 0 for others."""
    eta = options.get("eta")
    return int(eta * 1_000) if isinstance(eta, (int, float)) else 0


def queue_of(message: Any) -> str:
    """Delayed messages wait in a queue of their own, which belongs to the real one."""
    return message.queue_name.removesuffix(".DQ")
