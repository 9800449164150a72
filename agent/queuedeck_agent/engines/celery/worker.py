# SPDX-License-Identifier: Apache-2.0
"""Hooks in a worker's parent: it takes messages, and throws away what must not run."""

import time
from typing import Any

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.celery.limits import absorbs, hook
from queuedeck_agent.engines.celery.publish import instant_us
from queuedeck_agent.engines.celery.tasks import TaskHooks, remember

_clock_ns = time.time_ns
_NOT_SAMPLED = 7
"""One hook of eight is timed for the heartbeat, by chance of the clock."""


class WorkerHooks:
    """Every method is a receiver of the Celery signal that `celery.py` connects it to."""

    def __init__(self, tasks: TaskHooks) -> None:
        self.tasks = tasks
        self.agent = tasks.agent
        self.emit = tasks.emit
        self.durations = tasks.agent.recorder.hook_us
        """Microseconds of this hook, for the heartbeat."""
        self.source = tasks.source
        self.cancelled = tasks.agent.cancelled
        self.publishing = tasks.publishing
        self.running = tasks.running
        self.worker = tasks.worker

    def received(self, request: Any = None, **_: Any) -> None:
        """Ids and names only: this is the loop that every task of the worker goes through."""
        try:
            name: str = request.type
            if name.startswith("celery."):
                return
            at_us = _clock_ns() // 1_000
            headers: dict[str, Any] = request.request_dict
            task_id: str = request.id
            retries = headers.get("retries") or 0
            if retries:
                remember(self.tasks.attempts, task_id, retries + 1)
            delivery = headers["delivery_info"]
            plain_queue = not delivery.get("exchange") and delivery.get("routing_key")
            eta = headers.get("eta")
            self.emit(
                wire.TaskReceived(
                    at_us,
                    self.source,
                    task_id,
                    retries + 1,
                    name,
                    self.worker or request.hostname,
                    plain_queue or self.publishing.queue_in(delivery),
                    instant_us(eta) if eta else 0,
                )
            )
            if self.cancelled.stops(self.source, task_id, name):
                _revoke_here(task_id)
            if at_us & _NOT_SAMPLED == 0:
                self.durations.append(_clock_ns() // 1_000 - at_us)
        except Exception as error:
            if not absorbs(error, f"{__name__}.received", self.running):
                raise

    @hook
    def revoked(
        self, request: Any = None, terminated: Any = False, expired: Any = False, **_: Any
    ) -> None:
        """A revoked or expired task was taken and thrown away, or stopped while it ran."""
        headers: dict[str, Any] = vars(request)
        name = headers.get("task") or ""
        if name.startswith("celery."):
            return
        reason = "terminated" if terminated else "expired" if expired else "revoked"
        self.emit(
            wire.TaskCancelled(
                time.time_ns() // 1_000,
                self.source,
                headers["id"],
                (headers.get("retries") or 0) + 1,
                reason,
                name,
                headers.get("hostname") or self.worker,
            )
        )

    @hook
    def unknown(
        self, message: Any = None, exc: Any = None, name: Any = None, id: Any = None, **_: Any
    ) -> None:
        """The worker has no task of that name: Celery stores a failure and drops the message."""
        self._refused(message, exc, str(name or ""), str(id or ""))

    @hook
    def rejected(self, message: Any = None, exc: Any = None, **_: Any) -> None:
        """A message that Celery could not read as a task. Without an id there is no task."""
        headers = getattr(message, "headers", None) or {}
        self._refused(message, exc, str(headers.get("task") or ""), str(headers.get("id") or ""))

    def _refused(self, message: Any, error: Any, name: str, task_id: str) -> None:
        if not task_id or name.startswith("celery."):
            return
        headers = getattr(message, "headers", None) or {}
        known = isinstance(error, BaseException)
        self.emit(
            wire.TaskFailed(
                time.time_ns() // 1_000,
                self.source,
                task_id,
                (headers.get("retries") or 0) + 1,
                capture.exception_name(error) if known else "celery.exceptions.Reject",
                capture.exception_message(error) if known else "",
                "",
                -1,
                "rejected",
                name,
                self.worker,
            )
        )


def _revoke_here(task_id: str) -> None:
    """Before a task goes to the pool Celery asks this set once more, after our hook."""
    from celery.worker import state

    state.revoked.add(task_id)
