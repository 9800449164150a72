# SPDX-License-Identifier: Apache-2.0
"""What happens to a job in a worker.

arq's own hooks know neither arguments nor results nor errors, and are not called at all for jobs
that expired, are unknown, or were aborted before they started. So three places are watched: the
function's task (`started`, `returned`, `raised`), what the worker stores as the result
(`concluded`), and how it closes the job (`finished`, `refused`).
"""

import asyncio
import functools
import socket
import time
import traceback
from typing import Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.arq.call import stamp_in
from queuedeck_agent.engines.arq.publish import PublishHooks
from queuedeck_agent.engines.capturing import captured

INTERRUPTED = "The worker was stopped while the job ran. arq runs it again, as another attempt."


class Run(msgspec.Struct, eq=False):
    """One job in this worker, from the moment it was taken."""

    hooks: "JobHooks"
    worker: Any
    job_id: str
    score: int
    name: str = ""
    attempt: int = 1
    published_us: int = 0
    root_id: str = ""
    stamp: dict[str, Any] = {}
    data: bytes = b""
    started: bool = False
    ended: bool = False
    aborted: bool = False
    error: BaseException | None = None
    concluded: Any = None
    """The exception that arq stores as the result."""
    result: bytes = b""
    now_ns: int = 0
    at_us: int = 0
    took_us: int = -1

    def read(self, message: Any, data: bytes) -> None:
        """The message as arq's worker has it now."""
        self.stamp = stamp_in(message)
        self.root_id = str(self.stamp.get("r") or "")
        if not self.stamp.get("s"):
            self.data = data

    def finish(self) -> None:
        """Takes the time."""
        self.at_us = time.time_ns() // 1_000
        self.took_us = (time.monotonic_ns() - self.now_ns) // 1_000


class JobHooks:
    """For all workers of one source in this process."""

    def __init__(self, publishing: PublishHooks) -> None:
        self.agent = publishing.agent
        self.arguments = publishing.arguments
        self.functions = publishing.arguments.functions
        self.release = publishing.agent.config.release
        self.shows_results = publishing.agent.config.capture_results
        self.source = publishing.source
        self.recorder = publishing.agent.recorder
        self.emit = self.recorder.emit

    def started(self, run: Run, ctx: "dict[str, Any]", args: Any, kwargs: Any) -> None:
        """The attempt begins. Arguments are captured here if the sender had no agent."""
        at_us = time.time_ns() // 1_000
        run.started = True
        run.attempt = int(ctx.get("job_try") or 1)
        queue = str(run.worker.queue_name)
        stamp = run.stamp
        shown = sealed = b""
        interrupted: BaseException | None = None
        if not (stamp.get("c") and stamp.get("s")):
            shown, sealed, interrupted = captured(self._take, run, queue, args, kwargs)
        run.data = b""
        eta_us = run.score * 1_000
        self.emit(
            wire.TaskStarted(
                at_us,
                self.source,
                run.job_id,
                run.attempt,
                run.name,
                worker_name(run.worker),
                queue,
                shown,
                sealed,
                run.published_us,
                str(stamp.get("p") or ""),
                run.root_id,
                "",
                False,
                self.release,
                eta_us if run.published_us < eta_us else 0,
                self.recorder.pid(),
            )
        )
        run.now_ns = time.monotonic_ns()
        if interrupted is not None:
            raise interrupted

    def returned(self, run: Run, value: Any) -> None:
        """The body is over; the job is not closed yet."""
        run.finish()
        if self.shows_results:
            run.result = capture.result(value, self.functions.hidden_in(run.name))

    def raised(self, run: Run, error: BaseException) -> None:
        """An exception, a time limit, an abort, or the end of the worker."""
        run.finish()
        run.error = error
        run.aborted = run.job_id in run.worker.aborting_tasks

    def finished(self, run: Run, finish: bool) -> None:
        """arq closes the job, or leaves it in the queue for another attempt."""
        if run.ended or not run.started:
            return
        run.ended = True
        error, run.error = run.error, None
        about = (run.at_us, self.source, run.job_id, run.attempt)
        worker = worker_name(run.worker)
        if error is None:
            self.emit(wire.TaskSucceeded(*about, run.took_us, run.result, run.name, worker))
        elif not finish:
            self._retrying(run, error, worker)
        elif isinstance(error, asyncio.CancelledError) and run.aborted:
            self.emit(wire.TaskCancelled(*about, "terminated", run.name, worker))
        else:
            self._failed(run, error, worker)

    def refused(self, run: Run) -> None:
        """A job that does not run: expired, unknown, unreadable, aborted, out of attempts."""
        if run.ended:
            return
        run.ended = True
        error = run.concluded
        about = (time.time_ns() // 1_000, self.source, run.job_id, run.attempt)
        worker = worker_name(run.worker)
        if isinstance(error, asyncio.CancelledError):
            self.emit(wire.TaskCancelled(*about, "revoked", run.name, worker))
        elif type(error).__name__ == "JobExecutionFailed" and str(error) == "job expired":
            self.emit(wire.TaskCancelled(*about, "expired", run.name, worker))
        else:
            known = isinstance(error, BaseException)
            self.emit(
                wire.TaskFailed(
                    *about,
                    capture.exception_name(error) if known else "arq.worker.JobExecutionFailed",
                    capture.exception_message(error) if known else "",
                    reason="rejected",
                    name=run.name,
                    worker=worker,
                )
            )

    def _take(self, run: Run, queue: str, args: Any, kwargs: Any) -> tuple[bytes, bytes]:
        """What the sender's agent has not captured."""
        shown = sealed = b""
        if not run.stamp.get("c"):
            shown = self.arguments.show(run.name, args, kwargs)
        if not run.stamp.get("s"):
            sealed = self.arguments.seal(run.name, run.job_id, queue, run.data)
        return shown, sealed

    def _retrying(self, run: Run, error: BaseException, worker: str) -> None:
        stopped = isinstance(error, asyncio.CancelledError)
        defer_ms = getattr(error, "defer_score", None) or 0
        reason = _reason_of(error)
        self.emit(
            wire.TaskRetrying(
                run.at_us,
                self.source,
                run.job_id,
                run.attempt,
                capture.exception_name(reason),
                INTERRUPTED if stopped else _message(reason),
                "" if stopped else _trace(reason),
                run.took_us,
                run.at_us + int(defer_ms) * 1_000 if defer_ms else 0,
                run.name,
                worker,
            )
        )

    def _failed(self, run: Run, error: BaseException, worker: str) -> None:
        """`wait_for` cancels the function at its time limit, so that sees no TimeoutError."""
        limited = isinstance(error, asyncio.CancelledError) and _is_at_its_limit(run)
        limit_s = limit_of(run)
        self.emit(
            wire.TaskFailed(
                run.at_us,
                self.source,
                run.job_id,
                run.attempt,
                "TimeoutError" if limited else capture.exception_name(error),
                f"The job ran longer than its time limit of {limit_s:g} s."
                if limited
                else capture.exception_message(error),
                _trace(run.concluded if limited else error),
                run.took_us,
                "timeout" if limited else "error",
                run.name,
                worker,
            )
        )


def worker_name(worker: Any) -> str:
    """arq has no names for workers."""
    return f"{worker.queue_name}@{_host()}"


_host = functools.cache(socket.gethostname)


def limit_of(run: Run) -> float:
    """Seconds that arq lets this job run; 0 for no limit."""
    function = run.worker.functions.get(run.name)
    own = getattr(function, "timeout_s", None)
    return float((run.worker.job_timeout_s if own is None else own) or 0)


def _is_at_its_limit(run: Run) -> bool:
    if run.concluded is not None:
        return isinstance(run.concluded, (TimeoutError, asyncio.TimeoutError))
    # No result is kept. With `retry_jobs` a stopped worker does not close its jobs.
    return bool(run.worker.retry_jobs) or run.took_us >= limit_of(run) * 900_000


def _reason_of(error: BaseException) -> BaseException:
    """`except KeyError as error: raise Retry from error`: the job is retried for the KeyError."""
    if type(error).__name__ != "Retry":
        return error
    before = None if error.__suppress_context__ else error.__context__
    return error.__cause__ or before or error


def _message(error: BaseException) -> str:
    if type(error).__name__ == "Retry" and hasattr(error, "defer_score"):
        return capture.exception_message(error) or repr(error)
    return capture.exception_message(error)


def _trace(error: BaseException | None) -> str:
    if error is None:
        return ""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return capture.traceback("".join(lines))
