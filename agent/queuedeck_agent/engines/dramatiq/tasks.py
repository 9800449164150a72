# SPDX-License-Identifier: Apache-2.0
"""Hooks of running a message: in the threads of a worker process."""

import time
import traceback
from typing import Any

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.capturing import captured
from queuedeck_agent.engines.dramatiq.run import Run, attempt_of, current, eta_us, queue_of
from queuedeck_agent.engines.dramatiq.send import SendHooks
from queuedeck_agent.extras import Here


class TaskHooks:
    """What the middlewares of `dramatiq_boot` call, for one broker."""

    def __init__(self, sending: SendHooks, worker: str) -> None:
        self.agent = sending.agent
        self.recorder = sending.agent.recorder
        self.emit = self.recorder.emit
        self.release = sending.agent.config.release
        self.shows_results = sending.agent.config.capture_results
        self.sending = sending
        self.source = sending.source
        self.worker = worker
        self.running: dict[str, Run] = {}
        """By task id: what this process runs now."""
        self._durations = self.recorder.hook_us
        self.recorder.extras.find_by(self.here)

    def here(self) -> Here | None:
        """The attempt that runs in this thread or coroutine."""
        run = current.get()
        if run is None or self.running.get(run.task_id) is not run:
            return None
        return Here(self.source, run.task_id, run.attempt)

    def delayed(self, message: Any) -> None:
        """A worker took a delayed message; it keeps it in memory until it is due."""
        self.sending.hold(message)
        self.emit(
            wire.TaskReceived(
                time.time_ns() // 1_000,
                self.source,
                message.message_id,
                attempt_of(message.options),
                message.actor_name,
                self.worker,
                queue_of(message),
                eta_us(message.options),
            )
        )

    def begin(self, message: Any) -> bool:
        """The first hook before a message. False if it was cancelled and must not run."""
        run = Run(message)
        current.set(run)
        if not self.agent.cancelled.stops(self.source, run.task_id, run.name):
            return True
        run.skipped = True
        self._cancelled(run, "revoked")
        return False

    def started(self, message: Any) -> None:
        """The last hook before the actor runs: nobody has skipped the message."""
        run = current.get()
        if run is None or run.task_id != message.message_id or message.failed:
            return
        at_us = time.time_ns() // 1_000
        run.started = True
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
                queue_of(message),
                shown,
                sealed,
                stamp.get("at") or 0,
                stamp.get("p") or "",
                run.root_id,
                stamp.get("g") or "",
                bool(getattr(message, "redelivered", False)),
                self.release,
                0,
                self.recorder.pid(),
            )
        )
        self._durations.append(time.time_ns() // 1_000 - at_us)
        run.started_ns = time.monotonic_ns()
        if interrupted is not None:
            raise interrupted

    def ended(self, message: Any, result: Any, exception: BaseException | None) -> None:
        """The last hook after a message: whether it will be retried is decided."""
        run = self._finish(message)
        if exception is not None:
            if run.retried:
                self._retrying(run, exception)
            else:
                self._failed(run, exception)
        elif message.failed and not run.started:
            self._refused(run, "", "A middleware refused the message.")
        else:
            hidden = self.sending.signatures.hidden(run.name)
            shown = capture.result(result, hidden) if self.shows_results else b""
            at_us = time.time_ns() // 1_000
            self.emit(
                wire.TaskSucceeded(
                    at_us,
                    self.source,
                    run.task_id,
                    run.attempt,
                    run.took_us(),
                    shown,
                    run.name,
                    self.worker,
                )
            )

    def skipped(self, message: Any) -> None:
        """A middleware threw the message away: AgeLimit, one of the application's, or ours."""
        run = self._finish(message)
        if run.skipped:
            return
        expires = self.sending.expires_us(message)
        late = message.failed and 0 < expires <= time.time_ns() // 1_000
        self._cancelled(run, "expired" if late else "ignored")

    def rejected(self, message: Any) -> None:
        """Dead letters. Only those of actors that this worker does not have end here unseen: they
        were never handed to a thread."""
        if message.actor_name not in self.sending.broker.actors:
            text = f"The worker has no actor named {message.actor_name!r}."
            self._refused(Run(message), "dramatiq.errors.ActorNotFound", text)

    def _finish(self, message: Any) -> Run:
        run = current.get()
        current.set(None)
        if run is None or run.task_id != message.message_id:
            run = Run(message)
        self.running.pop(run.task_id, None)
        return run

    def _cancelled(self, run: Run, reason: str) -> None:
        at_us = time.time_ns() // 1_000
        self.emit(
            wire.TaskCancelled(
                at_us, self.source, run.task_id, run.attempt, reason, run.name, self.worker
            )
        )

    def _refused(self, run: Run, exception: str, text: str) -> None:
        about = (time.time_ns() // 1_000, self.source, run.task_id, run.attempt)
        self.emit(
            wire.TaskFailed(*about, exception, text, "", -1, "rejected", run.name, self.worker)
        )

    def _failed(self, run: Run, exception: BaseException) -> None:
        timeout = any(one.__name__ == "TimeLimitExceeded" for one in type(exception).__mro__)
        self.emit(
            wire.TaskFailed(
                time.time_ns() // 1_000,
                self.source,
                run.task_id,
                run.attempt,
                capture.exception_name(exception),
                capture.exception_message(exception),
                _trace(exception),
                run.took_us(),
                "timeout" if timeout else "error",
                run.name,
                self.worker,
            )
        )

    def _retrying(self, run: Run, exception: BaseException) -> None:
        self.emit(
            wire.TaskRetrying(
                time.time_ns() // 1_000,
                self.source,
                run.task_id,
                run.attempt,
                capture.exception_name(exception),
                capture.exception_message(exception),
                _trace(exception),
                run.took_us(),
                run.next_us,
                run.name,
                self.worker,
            )
        )


def _trace(exception: BaseException) -> str:
    lines = traceback.format_exception(type(exception), exception, exception.__traceback__)
    return capture.traceback("".join(lines))
