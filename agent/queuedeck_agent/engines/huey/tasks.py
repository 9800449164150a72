# SPDX-License-Identifier: Apache-2.0
"""What happens to a task in a consumer, from the moment a worker has taken its message.

Huey reports an error with each attempt, and only afterwards whether it tries again and when. So an
execution collects what the signals say, and its end is reported when `Huey.execute` returns.
"""

import time
import traceback
from collections.abc import Callable
from typing import Any

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.capturing import captured
from queuedeck_agent.engines.huey import stamp as huey_stamp
from queuedeck_agent.engines.huey.publish import PublishHooks, instant_us, name_of, running
from queuedeck_agent.engines.huey.running import Running
from queuedeck_agent.engines.huey.stamp import Mark, Stamp
from queuedeck_agent.extras import Here

_UNDONE = frozenset({"TaskLockedException", "RateLimitExceeded"})
"""Exceptions with which Huey, or a lock of the application, refuses a task without running it."""

STOPPED = "The consumer was stopped while the task ran. Huey does not run it again by itself."


class Run:
    """One execution in this process."""

    __slots__ = (
        "at_us", "attempt", "ended", "error", "name", "now_ns", "retrying", "root_id", "source",
        "started", "task_id", "took_us",
    )  # fmt: skip

    def __init__(self, name: str, stamp: Stamp, source: str) -> None:
        self.name = name
        self.source = source
        self.task_id = stamp.task_id
        self.root_id = stamp.root_id
        self.attempt = stamp.attempt
        self.started = False
        self.ended = False
        """Its end was reported."""
        self.retrying = False
        self.error: BaseException | None = None
        self.now_ns = 0
        self.at_us = 0
        self.took_us = -1

    def finish(self) -> None:
        """Takes the time."""
        self.at_us = time.time_ns() // 1_000
        self.took_us = (time.monotonic_ns() - self.now_ns) // 1_000 if self.now_ns else -1


class TaskHooks:
    """For all Huey instances of one source that this process consumes."""

    def __init__(self, publishing: PublishHooks, running: Running) -> None:
        self.agent = publishing.agent
        self.arguments = publishing.arguments
        self.source = publishing.source
        self.emit = self.agent.recorder.emit
        self.running = running
        self.worker = ""
        self.agent.recorder.extras.find_by(self.here)
        self._receivers: dict[str, Callable[[Any, Any, Run], None]] = {
            "executing": self.executing,
            "scheduled": self.scheduled,
            "retrying": self.retrying,
            "revoked": self.revoked,
            "expired": self.expired,
            "interrupted": self.interrupted,
        }

    def here(self) -> Here | None:
        """The attempt that runs in this thread or greenlet."""
        run: Run | None = running.get()
        if run is None or run.source != self.source or not run.started or run.ended:
            return None
        return Here(run.source, run.task_id, run.attempt)

    def arrived(self, huey: Any, task: Any, data: Any, stamp: Stamp | None) -> None:
        """A message was read. Without a stamp its publisher had no agent, or no pickle."""
        if stamp is None or stamp.task_id != task.id:
            stamp = Stamp(task.id, attempt=_attempt_by_retries(task))
        mark = Mark(stamp, arrived=True)
        if not stamp.captured:
            mark.data = bytes(data)
        huey_stamp.put(task, mark)

    def begin(self, huey: Any, task: Any) -> Run:
        """A worker has the task in its hands; whether it may run is not known yet."""
        mark = huey_stamp.mark_of(task)
        if mark is None:
            mark = Mark(Stamp(task.id, attempt=_attempt_by_retries(task)), arrived=True)
            huey_stamp.put(task, mark)
        run = mark.run = Run(name_of(huey, task), mark.stamp, self.source)
        return run

    def told(self, huey: Any, signal: str, task: Any) -> None:
        """Every signal, before the application's own receivers."""
        receiver = self._receivers.get(signal)
        mark = huey_stamp.mark_of(task) if receiver is not None else None
        if receiver is not None and mark is not None and mark.run is not None:
            receiver(huey, task, mark.run)

    def executing(self, huey: Any, task: Any, run: Run) -> None:
        """The attempt begins. Arguments are captured here if the publisher had no agent."""
        mark = huey_stamp.mark_of(task)
        if mark is None:
            return
        stamp, shown, sealed = mark.stamp, b"", b""
        interrupted: BaseException | None = None
        at_us = time.time_ns() // 1_000
        run.started = True
        if not stamp.captured:
            take = (self.arguments.take, run.name, task, str(huey.name), mark.data)
            shown, sealed, interrupted = captured(*take)
            stamp.captured = bool(shown)
            mark.data = b""
        self.emit(
            wire.TaskStarted(
                at_us,
                self.source,
                task.id,
                run.attempt,
                run.name,
                self.worker,
                str(huey.name),
                shown,
                sealed,
                stamp.at_us,
                stamp.parent_id,
                stamp.root_id,
                stamp.group_id,
                False,
                self.agent.config.release,
                instant_us(task.eta, huey.utc),
                self.agent.recorder.pid(),
            )
        )
        self.running.put(task.id, run.attempt, run.name)
        run.now_ns = time.monotonic_ns()
        if interrupted is not None:
            raise interrupted

    def scheduled(self, huey: Any, task: Any, run: Run) -> None:
        """Taken before its time: Huey keeps it until then. A retry with a delay comes here too."""
        if run.started or run.retrying:
            return
        run.ended = True
        self.emit(
            wire.TaskReceived(
                time.time_ns() // 1_000,
                self.source,
                task.id,
                run.attempt,
                run.name,
                self.worker,
                str(huey.name),
                instant_us(task.eta, huey.utc),
            )
        )

    def executed(self, task: Any, value: Any, error: Any) -> None:
        """The body is over. If it failed, `retrying` may follow."""
        mark = huey_stamp.mark_of(task)
        run: Run | None = mark.run if mark is not None else None
        if run is None:
            return
        run.finish()
        run.error = error if isinstance(error, BaseException) else None
        if error is not None:
            return
        run.ended = True
        self.running.clear()
        hidden = self.arguments.hidden_in(task)
        shown = capture.result(value, hidden) if self.agent.config.capture_results else b""
        self.emit(
            wire.TaskSucceeded(
                run.at_us,
                self.source,
                run.task_id,
                run.attempt,
                run.took_us,
                shown,
                run.name,
                self.worker,
            )
        )

    def retrying(self, huey: Any, task: Any, run: Run) -> None:
        """The message that Huey sends next carries the next attempt."""
        run.retrying = True
        mark = huey_stamp.mark_of(task)
        if mark is not None:
            mark.stamp.attempt = run.attempt + 1

    def revoked(self, huey: Any, task: Any, run: Run) -> None:
        """Thrown away when its turn came."""
        self._cancelled(run, "revoked")

    def expired(self, huey: Any, task: Any, run: Run) -> None:
        """Its turn came too late."""
        self._cancelled(run, "expired")

    def interrupted(self, huey: Any, task: Any, run: Run) -> None:
        """The consumer is being stopped."""
        if not run.ended:
            run.finish()
            self._lost(run, STOPPED)

    def end(self, task: Any, run: Run, broken: BaseException | None, utc: Any) -> None:
        """`Huey.execute` returned, or raised what `broken` says."""
        if run.ended:
            return
        if broken is not None and not isinstance(broken, Exception):
            run.finish()
            self._lost(run, f"The task ended its worker with {type(broken).__name__}.")
        elif run.error is not None and run.retrying and broken is None:
            self._retried(task, run, utc)
        elif run.error is not None and type(run.error).__name__ == "CancelExecution":
            self._cancelled(run, "ignored")
        elif run.error is not None or (broken is not None and run.started):
            self._failed(run, run.error or broken)
        elif run.started:
            self._cancelled(run, "ignored")  # `CancelExecution` of a hook of the application
        self.running.clear()

    def unreadable(self, stamp: Stamp | None, message: Any, error: BaseException) -> None:
        """A message that was taken, and cannot be made a task: Huey logs it and drops it."""
        task_id = getattr(message, "id", None) or (stamp.task_id if stamp is not None else "")
        if not task_id:
            return
        self.emit(
            wire.TaskFailed(
                time.time_ns() // 1_000,
                self.source,
                str(task_id),
                stamp.attempt if stamp is not None else 1,
                capture.exception_name(error),
                capture.exception_message(error),
                reason="rejected",
                name=str(getattr(message, "name", "") or ""),
                worker=self.worker,
            )
        )

    def died(self, task_id: str, attempt: int, name: str, message: str) -> None:
        """The process that ran the task is gone."""
        now = time.time_ns() // 1_000
        self.emit(wire.TaskLost(now, self.source, task_id, attempt, message, name, self.worker))

    def _failed(self, run: Run, error: Any) -> None:
        if run.took_us < 0:
            run.finish()
        run.ended = True
        kind = type(error).__name__
        reason = "timeout" if kind == "TaskTimeout" else "rejected" if kind in _UNDONE else "error"
        self.emit(
            wire.TaskFailed(
                run.at_us,
                self.source,
                run.task_id,
                run.attempt,
                capture.exception_name(error),
                capture.exception_message(error),
                _trace(error),
                run.took_us,
                reason,
                run.name,
                self.worker,
            )
        )

    def _retried(self, task: Any, run: Run, utc: Any) -> None:
        run.ended = True
        due = instant_us(task.eta, utc)
        error: Any = run.error
        self.emit(
            wire.TaskRetrying(
                run.at_us,
                self.source,
                run.task_id,
                run.attempt,
                capture.exception_name(error),
                capture.exception_message(error),
                _trace(error),
                run.took_us,
                due if due > run.at_us else 0,
                run.name,
                self.worker,
            )
        )

    def _cancelled(self, run: Run, reason: str) -> None:
        run.ended = True
        self.running.clear()
        now = time.time_ns() // 1_000
        about = (now, self.source, run.task_id, run.attempt)
        self.emit(wire.TaskCancelled(*about, reason, run.name, self.worker))

    def _lost(self, run: Run, message: str) -> None:
        run.ended = True
        self.running.clear()
        self.died(run.task_id, run.attempt, run.name, message)


def _attempt_by_retries(task: Any) -> int:
    """Without our stamp: by the retries that are left of those that the task is declared with."""
    declared = getattr(type(task), "default_retries", 0) or 0
    left = task.retries or 0
    return declared - left + 1 if 0 <= left < declared else 1


def _trace(error: BaseException) -> str:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return capture.traceback("".join(lines))
