# SPDX-License-Identifier: Apache-2.0
"""Hooks of running a task: in a pool's child, or in the worker itself where the pool has none."""

import sys
import time
from typing import Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.limits import Running, absorbs, hook
from queuedeck_agent.engines.celery.publish import STAMP, PublishHooks, instant_us
from queuedeck_agent.extras import Here

_MAX_REMEMBERED = 10_000
"""Retried tasks whose attempt the parent remembers, and outcomes that it has reported."""


_BROKEN = 0
"""In place of an attempt: `broken` has told of it."""
_NOTHING: dict[str, Any] = {}
_now_ns = time.monotonic_ns
_clock_ns = time.time_ns


class Run(msgspec.Struct, eq=False, gc=False):
    """One execution in this process, from prerun to postrun."""

    name: str
    attempt: int
    worker: str
    started_ns: int
    replaced: bool = False
    ended: bool = False
    """A failure or a retry was told: only Celery's own steps follow."""

    def took_us(self) -> int:
        return (_now_ns() - self.started_ns) // 1_000


class TaskHooks:
    """Every method is a receiver of the Celery signal that `celery.py` connects it to."""

    def __init__(self, agent: Agent, arguments: Arguments, publishing: PublishHooks) -> None:
        self.agent = agent
        self.recorder = agent.recorder
        self.emit = agent.recorder.emit
        self.arguments = arguments
        self.source = arguments.source
        self.publishing = publishing
        self.running: Running = publishing.running
        self.worker = ""
        """The worker's name, as the parent knows it."""
        self.release = agent.config.release
        self.shows_results = agent.config.capture_results
        self.attempts: dict[str, int] = {}
        """In the parent: the attempt of tasks that Celery retried."""
        self._reported: dict[tuple[str, int], None] = {}

    def here(self) -> Here | None:
        """The attempt that runs in this thread or greenlet. Tasks may call others inside."""
        from celery import _state

        stack: list[Any] = _state._task_stack.stack or []  # pyright: ignore[reportPrivateUsage]
        for task in reversed(stack):
            task_id = task.request.id
            run: Run | None = self.running.get(task_id)
            if run is not None:
                return None if run.ended else Here(self.source, task_id, run.attempt)
        return None

    def prerun(
        self,
        sender: Any = None,
        task_id: Any = None,
        args: Any = None,
        kwargs: Any = None,
        **_: Any,
    ) -> None:
        """The attempt begins. Arguments are captured here if the publisher had no agent."""
        try:
            name: str = sender.name
            if name.startswith("celery."):
                return
            headers: dict[str, Any] = sender.request_stack.top.__dict__
            get = headers.get
            if get("is_eager"):
                return
            at_us = _clock_ns() // 1_000
            attempt = (get("retries") or 0) + 1
            worker: str = get("hostname") or self.worker
            run = self.running[task_id] = Run(name, attempt, worker, _now_ns())
            delivery: dict[str, Any] = get("delivery_info") or _NOTHING
            stamp: Any = get(STAMP) or (get("headers") or _NOTHING).get(STAMP)
            published_us = (stamp.get("at") or 0) if type(stamp) is dict else 0
            shown = sealed = b""
            interrupted: Exception | None = None
            if not published_us or not stamp.get("c"):
                route = (
                    self.publishing.undelayed(delivery) if delivery.get("exchange") else delivery
                )
                try:
                    shown, sealed = self.arguments.take(
                        name, task_id, args, kwargs, headers, route, headers
                    )
                except Exception as error:  # noqa: BLE001 - raised again below
                    interrupted = error  # a time limit, most likely: the start is told all the same
            eta, parent = get("eta"), get("parent_id")
            plain_queue = not delivery.get("exchange") and delivery.get("routing_key")
            self.emit(
                wire.TaskStarted(
                    at_us,
                    self.source,
                    task_id,
                    attempt,
                    name,
                    worker,
                    plain_queue or self.publishing.queue_in(delivery),
                    shown,
                    sealed,
                    published_us,
                    parent if parent and parent != task_id else "",
                    get("root_id") or "",
                    get("group") or "",
                    bool(delivery.get("redelivered")),
                    self.release,
                    instant_us(eta) if eta else 0,
                    self.recorder.pid(),
                )
            )
            run.started_ns = _now_ns()
            if interrupted is not None:
                raise interrupted
        except Exception as error:
            if not absorbs(error, f"{__name__}.prerun", self.running):
                raise

    def postrun(self, task_id: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
        """The attempt is over. Failures and retries were reported by their own signals."""
        try:
            run: Run | None = self.running.pop(task_id, None)
            if run is None:
                return
            if state == "SUCCESS":
                self.emit(
                    wire.TaskSucceeded(
                        _clock_ns() // 1_000,
                        self.source,
                        task_id,
                        run.attempt,
                        (_now_ns() - run.started_ns) // 1_000,
                        capture.result(retval, self.arguments.hidden_in(run.name))
                        if self.shows_results
                        else b"",
                        run.name,
                        run.worker,
                    )
                )
            elif state not in ("FAILURE", "RETRY"):
                self._ended_oddly(task_id, run, state, retval)
        except Exception as error:
            if not absorbs(error, f"{__name__}.postrun", self.running):
                raise

    def _ended_oddly(self, task_id: str, run: Run, state: Any, retval: Any) -> None:
        """Ignore, Reject, or no state at all: then the process is being stopped, or exited."""
        at_us = time.time_ns() // 1_000
        about = (at_us, self.source, task_id, run.attempt)
        if state == "IGNORED":
            if not run.replaced:
                self.emit(wire.TaskCancelled(*about, "ignored", run.name, run.worker))
        elif state == "REJECTED":
            if not getattr(retval, "requeue", False):
                message = capture.exception_message(retval)
                kind = capture.exception_name(retval)
                took = run.took_us()
                self.emit(
                    wire.TaskFailed(
                        *about, kind, message, "", took, "rejected", run.name, run.worker
                    )
                )
        elif (limit := _greenlets_limit()) is not None:
            # Celery stores the failure and sends no signal of it.
            remember(self._reported, (task_id, run.attempt), None)
            name, text = capture.exception_name(limit), _hard_limit(limit)
            took = run.took_us()
            self.emit(
                wire.TaskFailed(*about, name, text, "", took, "timeout", run.name, run.worker)
            )
        elif _is_exiting_by_itself():
            # Celery closes such a task late (prefork), not at all (threads), or fails over it
            # (prefork with a JSON result backend).
            text = "The task ended its process with SystemExit: its outcome is unknown."
            self.emit(wire.TaskLost(*about, text, run.name, run.worker))

    @hook
    def failed(
        self,
        sender: Any = None,
        task_id: Any = None,
        exception: Any = None,
        einfo: Any = None,
        **_: Any,
    ) -> None:
        """In the child: an exception. In the parent: a hard time limit, or a child that died."""
        run: Run | None = self.running.get(task_id)
        name: str = run.name if run else getattr(sender, "name", "") or ""
        kind = type(exception).__name__
        if name.startswith("celery.") or (run is None and self._is_no_news(sender, task_id, kind)):
            return
        attempt = run.attempt if run else self.attempts.pop(task_id, 1)
        if run is None and remember(self._reported, (task_id, attempt), None):
            return  # Celery 5.7 reports a hard time limit twice
        worker = run.worker if run else self.worker
        about = (time.time_ns() // 1_000, self.source, task_id, attempt)
        message = capture.exception_message(exception)
        if kind == "WorkerLostError":
            self.emit(wire.TaskLost(*about, message, name, worker))
            return
        if kind == "TimeLimitExceeded":
            message = _hard_limit(exception)
        limits = ("SoftTimeLimitExceeded", "TimeLimitExceeded")
        if run is not None:
            run.ended = True
        self.emit(
            wire.TaskFailed(
                *about,
                capture.exception_name(exception),
                message,
                _trace(einfo),
                run.took_us() if run else -1,
                "timeout" if kind in limits else "error",
                name,
                worker,
            )
        )

    def _is_no_news(self, sender: Any, task_id: Any, kind: str) -> bool:
        """Failures that are told already, or are of a task that another one calls by `apply`, or
        that is delivered again: Celery 5.7 signals a hard time limit before it requeues."""
        if kind == "Reject" or (task_id, _BROKEN) in self._reported:
            return True
        if kind == "TimeLimitExceeded" and not getattr(sender, "acks_on_timeout", True):
            return bool(getattr(sender, "acks_late", False))
        return bool(getattr(getattr(sender, "request", None), "is_eager", False))

    @hook
    def broken(
        self,
        sender: Any = None,
        task_id: Any = None,
        request: Any = None,
        exception: Any = None,
        einfo: Any = None,
        **_: Any,
    ) -> None:
        """An error around the task, not in it: the result backend, a handler of the application.
        Newer versions signal it as a failure of the task, too."""
        run: Run | None = self.running.pop(task_id, None)
        name = getattr(sender, "name", "") or ""
        headers: dict[str, Any] = request if isinstance(request, dict) else _NOTHING
        if name.startswith("celery.") or headers.get("is_eager"):
            return
        remember(self._reported, (task_id, _BROKEN), None)
        attempt = run.attempt if run else ((headers.get("retries") or 0) + 1)
        self.emit(
            wire.TaskFailed(
                time.time_ns() // 1_000,
                self.source,
                task_id,
                attempt,
                capture.exception_name(exception),
                capture.exception_message(exception),
                _trace(einfo),
                run.took_us() if run else -1,
                "error",
                name,
                run.worker if run else self.worker,
            )
        )

    @hook
    def retrying(
        self, sender: Any = None, request: Any = None, reason: Any = None, **named: Any
    ) -> None:
        """The task asked for another attempt, which is published already."""
        task_id: str = request.id
        if reason is None:
            if not getattr(sender, "acks_late", True):
                self._stopped(sender, task_id, request)
            return  # the parent lost its broker: the same attempt is delivered again
        run: Run | None = self.running.get(task_id)
        if run is None:
            return
        run.ended = True
        cause = reason.exc
        known = isinstance(cause, BaseException)
        self.emit(
            wire.TaskRetrying(
                time.time_ns() // 1_000,
                self.source,
                task_id,
                run.attempt,
                capture.exception_name(cause) if known else capture.exception_name(reason),
                capture.exception_message(cause) if known else capture.text(reason.message or ""),
                _trace(named.get("einfo")),
                run.took_us(),
                _due_us(reason.when),
                run.name,
                run.worker,
            )
        )

    def _stopped(self, sender: Any, task_id: str, request: Any) -> None:
        """In the parent, on its way to a cold shutdown. Celery calls it a retry, but the message is
        acknowledged, and nobody runs the task again."""
        at_us = time.time_ns() // 1_000
        attempt = (getattr(request, "retries", 0) or 0) + 1
        name = getattr(sender, "name", "") or ""
        text = "The worker was stopped by force while the task ran."
        self.emit(wire.TaskLost(at_us, self.source, task_id, attempt, text, name, self.worker))


def _is_exiting_by_itself() -> bool:
    """Whether the task raised SystemExit, rather than being stopped by a signal's handler."""
    error = sys.exc_info()[1]
    if not isinstance(error, SystemExit) or type(error).__module__.startswith("celery"):
        return False
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith("billiard/common.py"):
            return False
        trace = trace.tb_next
    return True


def _greenlets_limit() -> "Exception | None":
    """What the pool of gevent makes of a hard time limit, if that ends the task just now."""
    error = sys.exc_info()[1]
    kinds = {f"{one.__module__}.{one.__qualname__}" for one in type(error).__mro__}
    if "gevent.timeout.Timeout" not in kinds:
        return None
    from billiard.exceptions import TimeLimitExceeded

    return TimeLimitExceeded(getattr(error, "seconds", None))


def _hard_limit(exception: Any) -> str:
    """The pool gives the seconds and no words."""
    seconds = next(iter(exception.args), None)
    length = f" of {seconds:g} s" if isinstance(seconds, (int, float)) else ""
    return f"The task ran longer than its hard time limit{length}."


def _trace(einfo: Any) -> str:
    found = getattr(einfo, "traceback", None)
    return capture.traceback(found) if isinstance(found, str) else ""


def _due_us(when: Any) -> int:
    if isinstance(when, (int, float)):
        return int((time.time() + when) * 1_000_000)
    return instant_us(when)


def remember(known: "dict[Any, Any]", key: Any, value: Any) -> bool:
    """Adds, and forgets the oldest beyond the limit. True if it was there already."""
    if key in known:
        known[key] = value
        return True
    if len(known) >= _MAX_REMEMBERED:
        known.pop(next(iter(known)), None)
    known[key] = value
    return False
