# SPDX-License-Identifier: Apache-2.0
"""Hooks of running a task: on the event loop of a worker process, so short and without I/O."""

import asyncio
import time
import traceback
from typing import Any

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.capturing import captured
from queuedeck_agent.engines.taskiq import run as taskiq_run
from queuedeck_agent.engines.taskiq.run import REQUEUES, RETRIES, Delivery, Run, number
from queuedeck_agent.engines.taskiq.send import SendHooks
from queuedeck_agent.engines.taskiq.source import queue_of
from queuedeck_agent.extras import Here
from queuedeck_agent.guard import contained

_NO_RESULT = "NoResultError"
_REQUEUED = "The task asked to be run again (Context.requeue)."


class TaskHooks:
    """What the steps of `boot` call, for one broker."""

    def __init__(self, sending: SendHooks, worker: str) -> None:
        self.agent = sending.agent
        self.emit = sending.agent.recorder.emit
        self.sending = sending
        self.source = sending.source
        self.worker = worker
        self.running: dict[str, Run] = {}
        """By task id: what this process runs now."""
        self._durations = sending.agent.recorder.hook_us
        sending.agent.recorder.extras.find_by(self.here)

    def here(self) -> Here | None:
        """The attempt that runs in this coroutine, or in the thread of a sync task."""
        run = taskiq_run.current.get()
        if run is None or self.running.get(run.task_id) is not run:
            return None
        return Here(self.source, run.task_id, run.attempt)

    @contained
    def begin(self, message: Any) -> Run:
        """Right before the function is called; not if it was cancelled while it waited."""
        at_us = time.time_ns() // 1_000
        run = Run(message)
        delivery = taskiq_run.delivery.get()
        if delivery is not None:
            delivery.ran = True
        if self.agent.cancelled.stops(self.source, run.task_id, run.name):
            run.skipped = True
            self._cancelled(run, "revoked")
            return run
        self.running[run.task_id] = run
        shown = sealed = b""
        interrupted: BaseException | None = None
        if not run.captured:
            shown, sealed, interrupted = captured(self.sending.take, message)
            run.captured = bool(shown)
        stamp = run.stamp
        self.emit(
            wire.TaskStarted(
                at_us,
                self.source,
                run.task_id,
                run.attempt,
                run.name,
                self.worker,
                queue_of(self.sending.broker, run.labels),
                shown,
                sealed,
                stamp.at if not run.requeues else 0,
                stamp.p,
                run.root_id,
                "",
                False,
                self.agent.config.release,
                0,
                self.agent.recorder.pid(),
            )
        )
        self._durations.append(time.time_ns() // 1_000 - at_us)
        run.started_ns = time.monotonic_ns()
        if interrupted is not None:
            raise interrupted
        return run

    @contained
    def ended(self, run: Run, message: Any, result: Any) -> None:
        """The function has returned, and the middlewares have seen its error."""
        self.running.pop(run.task_id, None)
        error = run.exception
        if error is None and result.is_err:
            error = result.error
        if error is None:
            self._succeeded(run, result.return_value)
        elif run.terminated and isinstance(error, asyncio.CancelledError):
            self._cancelled(run, "terminated")
        elif number(message.labels.get(REQUEUES)) > run.requeues:
            run.resent = True
            self._retrying(run, "", _REQUEUED, "")
        elif type(error).__name__ == _NO_RESULT:
            self._cancelled(run, "ignored")
        elif self._is_retried(run, message, result):
            self._retrying(run, *_described(error))
        else:
            self._failed(run, error, _reason(run, error))

    @contained
    def broke(self, run: Run, error: BaseException) -> None:
        """taskiq itself raised: arguments that do not fit, or a middleware that failed."""
        self.running.pop(run.task_id, None)
        self._failed(run, error, "error")

    @contained
    def undelivered(self, delivery: Delivery, data: Any, error: BaseException | None) -> None:
        """A worker took a message, and never came to run it: taskiq logs that and goes on."""
        if delivery.ran:
            return
        if delivery.message is not None:
            if error is not None:
                self._failed(Run(delivery.message), error, "rejected", ran=False)
            return
        message = self._parsed(data)
        if message is None or self.sending.broker.find_task(message.task_name) is not None:
            return
        run = Run(message)
        text = f"The worker has no task named {run.name!r}."
        self._emit_failed(run, "taskiq.exceptions.UnknownTaskError", text, "", -1, "rejected")

    def _parsed(self, data: Any) -> Any:
        """None for what taskiq could not read either."""
        try:
            return self.sending.broker.formatter.loads(message=getattr(data, "data", data))
        except Exception:  # noqa: BLE001 - whatever the application's formatter raises
            return None

    def _is_retried(self, run: Run, message: Any, result: Any) -> bool:
        """Retries are sent by middlewares, in one of three ways."""
        if run.resent or type(result.error).__name__ == _NO_RESULT:
            return True
        smart = any("SmartRetry" in type(one).__name__ for one in self.sending.broker.middlewares)
        return smart and number(message.labels.get(RETRIES)) > number(run.labels.get(RETRIES))

    def _succeeded(self, run: Run, value: Any) -> None:
        took_us = run.took_us()
        hidden = self.sending.signatures.hidden(run.name)
        shown = capture.result(value, hidden) if self.agent.config.capture_results else b""
        at_us = time.time_ns() // 1_000
        self.emit(
            wire.TaskSucceeded(
                at_us,
                self.source,
                run.task_id,
                run.attempt,
                took_us,
                shown,
                run.name,
                self.worker,
            )
        )

    def _cancelled(self, run: Run, reason: str) -> None:
        at_us = time.time_ns() // 1_000
        self.emit(
            wire.TaskCancelled(
                at_us, self.source, run.task_id, run.attempt, reason, run.name, self.worker
            )
        )

    def _failed(self, run: Run, error: BaseException, reason: str, ran: bool = True) -> None:
        took_us = run.took_us() if ran else -1
        self._emit_failed(run, *_described(error), took_us, reason)

    def _emit_failed(
        self, run: Run, exception: str, message: str, trace: str, took_us: int, reason: str
    ) -> None:
        about = (time.time_ns() // 1_000, self.source, run.task_id, run.attempt)
        self.emit(
            wire.TaskFailed(
                *about, exception, message, trace, took_us, reason, run.name, self.worker
            )
        )

    def _retrying(self, run: Run, exception: str, message: str, trace: str) -> None:
        at_us = time.time_ns() // 1_000
        about = (at_us, self.source, run.task_id, run.attempt)
        self.emit(
            wire.TaskRetrying(
                *about,
                exception,
                message,
                trace,
                run.took_us(),
                at_us if run.resent else 0,  # sent already; or a schedule source knows when
                run.name,
                self.worker,
            )
        )


def _described(error: BaseException) -> tuple[str, str, str]:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return (
        capture.exception_name(error),
        capture.exception_message(error),
        capture.traceback("".join(lines)),
    )


def _reason(run: Run, error: BaseException) -> str:
    if type(error).__name__ == "TaskRejectedError":
        return "rejected"
    limit = run.labels.get("timeout")
    if limit is None or not isinstance(error, TimeoutError):
        return "error"
    try:
        return "timeout" if run.took_us() >= float(limit) * 1_000_000 else "error"
    except (TypeError, ValueError):
        return "error"
