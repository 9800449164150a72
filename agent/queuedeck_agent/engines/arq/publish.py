# SPDX-License-Identifier: Apache-2.0
"""What is sent: by web processes, by jobs, and by the worker's cron, all through `enqueue_job`."""

import contextvars
import datetime
import os
import socket
from typing import Any

from queuedeck_agent import request, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.arq.call import Arguments

running: contextvars.ContextVar[Any] = contextvars.ContextVar("queuedeck_arq_run", default=None)
"""The job that goes on in this context."""
sending: contextvars.ContextVar[Any] = contextvars.ContextVar("queuedeck_arq_sent", default=None)
"""The job that is being enqueued in this context."""
firing: contextvars.ContextVar[bool] = contextvars.ContextVar("queuedeck_arq_cron", default=False)
"""Whether the worker's cron enqueues."""
retry_of: contextvars.ContextVar[str] = contextvars.ContextVar("queuedeck_arq_retry", default="")
"""The job that an operator retries."""


class Sending:
    """A job on its way to Redis."""

    __slots__ = ("at_us", "attempt", "data", "parent_id", "root_id", "sealed", "shown")

    def __init__(self, shown: bytes, sealed: bool, parent_id: str, root_id: str) -> None:
        self.shown = shown
        self.sealed = sealed
        self.parent_id = parent_id
        self.root_id = root_id
        self.at_us = 0
        """As the message says it: the same number identifies the job in a worker."""
        self.attempt = 1
        self.data = b""

    @property
    def stamp(self) -> "dict[str, Any]":
        """What the message carries for the worker's agent."""
        stamp: dict[str, Any] = {"c": 1 if self.shown else 0, "s": 1 if self.sealed else 0}
        if self.parent_id:
            stamp.update(p=self.parent_id, r=self.root_id)
        return stamp

    def written(self, enqueue_time_ms: int, job_try: int | None, data: bytes) -> None:
        """arq has made the message."""
        self.at_us = enqueue_time_ms * 1_000
        self.attempt = job_try or 1
        self.data = data


class PublishHooks:
    """For all connections of one source."""

    def __init__(self, agent: Agent, arguments: Arguments) -> None:
        self.agent = agent
        self.arguments = arguments
        self.source = arguments.source

    def before(self, function: str, args: Any, named: "dict[str, Any]") -> Sending:
        """Nothing is sent yet: arq may find that the id is taken."""
        kwargs = {key: value for key, value in named.items() if key not in OPTIONS}
        run: Any = running.get()
        parent = run.job_id if run is not None else ""
        root = (run.root_id or parent) if run is not None else ""
        shown = self.arguments.show_sent(function, args, kwargs)
        return Sending(shown, self.arguments.wanted, parent, root)

    def after(
        self, function: str, sent: Sending, job_id: str, queue: str, named: "dict[str, Any]"
    ) -> None:
        """Redis has taken it."""
        sealed = self.arguments.seal(function, job_id, queue, sent.data)
        expires = _span_us(named.get("_expires"))
        route, user = request.context()
        self.agent.recorder.emit(
            wire.TaskPublished(
                sent.at_us,
                self.source,
                job_id,
                sent.attempt,
                function,
                queue,
                sent.shown,
                sealed,
                _eta_us(sent.at_us, named),
                sent.at_us + expires if expires else 0,
                parent_id=sent.parent_id if sent.parent_id != job_id else "",
                root_id=sent.root_id,
                retry_of=retry_of.get(),
                schedule=function if firing.get() else "",
                origin=f"{os.getpid()}@{socket.gethostname()}",
                route=route,
                user=user,
            )
        )


OPTIONS = frozenset({
    "_job_id", "_queue_name", "_defer_until", "_defer_by", "_expires", "_job_try",
})  # fmt: skip
"""Of `enqueue_job`; all other keywords are the job's arguments."""


def _eta_us(at_us: int, named: "dict[str, Any]") -> int:
    until = named.get("_defer_until")
    if isinstance(until, datetime.datetime):
        return int(until.timestamp() * 1_000) * 1_000
    later = _span_us(named.get("_defer_by"))
    return at_us + later if later else 0


def _span_us(value: Any) -> int:
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    return int(value * 1_000_000) if isinstance(value, (int, float)) else 0
