# SPDX-License-Identifier: Apache-2.0
"""Steps around running: in the work horse, in a worker without one, and in the parent of a horse.

A horse leaves by `os._exit`, so whatever it has to tell is in its lane before that.
"""

import datetime
import os
import sys
import time
from typing import Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.horse import Horse
from queuedeck_agent.engines.rq.publish import PublishHooks, attempt_of, name_of
from queuedeck_agent.extras import Here
from queuedeck_agent.guard import absorbed, contained
from queuedeck_agent.overrides import are_given, hidden_in
from queuedeck_agent.wire import TaskSucceeded

_STAMP = rq_stamp.ON_JOB
_SECOND_US = 1_000_000
_MICROSECOND = datetime.timedelta(microseconds=1)
_result = capture.result
_NONE = capture.result(None)
_clock_ns = time.time_ns
_PATIENCE_S = 60
"""RQ's parent kills a horse that is so much over its time limit."""
_RETRY = "rq.job.Retry"
_NO_WORD = (
    "The job ended its process without any error. RQ keeps it as started until it is given up."
)


class Run(msgspec.Struct, eq=False):
    """One execution in this process."""

    job: Any
    name: str
    queue: str
    worker: str
    at_us: int
    about: tuple[str, str, int]
    """(source, job id, attempt)."""
    stamp: rq_stamp.Stamp
    told: bool = False
    success: wire.TaskSucceeded | None = None
    """What is told once RQ has written it down."""


class RunHooks:
    """One per process: RQ's workers run one job at a time."""

    def __init__(self, publishing: PublishHooks) -> None:
        self.publishing = publishing
        self.agent = publishing.agent
        self.recorder = publishing.agent.recorder
        self.emit = publishing.emit
        self.release = publishing.agent.config.release
        self.shows_arguments = publishing.agent.config.capture_args
        self.shows_results = publishing.agent.config.capture_results
        self.run: Run | None = None
        self._horse: Horse | None = None
        """Once there was one: a worker that runs jobs itself has none."""
        self._killed = ""
        """The job whose horse was found dead."""
        self.agent.recorder.extras.find_by(self.here)

    def here(self) -> Here | None:
        """The attempt that runs in this process."""
        run = self.run
        return Here(*run.about) if run is not None else None

    @contained
    def forks(self, worker: Any, job: Any, queue: Any) -> bool:
        """A horse is about to be forked for the job. What can be told for it is told here: after a
        fork each function takes ten pages of memory that have to be copied first, in both
        processes, as long as both are there. Returns whether nothing is left to tell before it
        runs."""
        self.recorder.lend()
        if self._horse is None:
            self._horse = Horse()
        self._horse.forks()
        stamp = rq_stamp.get(job)
        if stamp is None or stamp.ended or not stamp.name or not self._knows_all(stamp):
            return False  # the job has to be deserialised first: that is the horse's
        run = self._run_of(worker, job, queue, stamp)
        run.told = True
        publishing = self.publishing
        publishing.forks_in = os.getpid()
        publishing.current, publishing.current_id = stamp, job.id
        self.run = run
        self.emit(self._start_of(run))
        return True

    def forked(self, horse: int) -> None:
        """In the parent: the job runs in that process, or nowhere if it is 0."""
        self.run = None
        self.recorder.lent_to(horse)

    def begins(self, worker: Any, job: Any, queue: Any) -> None:
        """The worker is about to run a job, in this process."""
        try:
            stamp: rq_stamp.Stamp | None = vars(job).get(rq_stamp.ON_JOB)
            if stamp is None or stamp.ended:
                stamp = _stamp_of_another_run(job, stamp)
                rq_stamp.put(job, stamp)
            run = self.run = self._run_of(worker, job, queue, stamp)
            publishing = self.publishing
            publishing.current, publishing.current_id = run.stamp, run.about[1]
            if self._knows_all(run.stamp):
                run.told = True
                self.emit(self._start_of(run))
        except Exception as error:
            if not absorbed(error, f"{__name__}.begins"):
                raise

    def calls(self, job: Any) -> None:
        """The function is imported, its call comes next: the arguments can be shown."""
        run = self.run
        if run is not None and not run.told and run.job is job:
            self._tell_start_with_arguments(run)

    def ends(self) -> None:
        """The worker is done with the job."""
        if self._horse is not None:
            self._horse.told()
        self.run = None
        publishing = self.publishing
        publishing.current, publishing.current_id = None, ""
        publishing.release()

    def may_end(self, job: Any) -> None:
        """RQ is about to write down that it went well; what follows from it is told after.

        The event is made now: after RQ has waited for Redis, the same lines cost twice as much.
        Long, because in a horse each further function costs 20 us.
        """
        try:
            fields = vars(job)
            stamp: rq_stamp.Stamp | None = fields.get(_STAMP)
            if stamp is None:
                self._mark_ended(job)
            else:
                stamp.ended = True
            self.publishing.held = []
            run = self.run
            if run is None:
                return
            if not run.told:
                self._tell_start_late()
            shown = b""
            if self.shows_results:
                value = fields.get("_result")
                if are_given():
                    shown = self._shown(run, value)
                else:
                    shown = _NONE if value is None else _result(value)
            run.success = TaskSucceeded(
                _clock_ns() // 1_000,
                *run.about,
                max(0, _took_us(job)),
                shown,
                run.name,
                run.worker,
            )
        except Exception as error:
            if not absorbed(error, f"{__name__}.may_end"):
                raise

    def succeeded(self) -> None:
        """RQ has written it down."""
        run = self.run
        if run is not None and run.success is not None:
            self.emit(run.success)
        if self._horse is not None:
            self._horse.told()
        publishing = self.publishing
        if publishing.held:
            publishing.release()
        publishing.held = None

    @contained
    def asks_again(self, worker: Any, job: Any, retry: Any) -> None:
        """The function returned a `Retry`."""
        run = self.run
        if run is None:
            return
        if self._horse is not None:
            self._horse.told()
        self._tell_start_late()
        at_us = time.time_ns() // 1_000
        tried = job.number_of_retries or 0
        asked = f"The job returned Retry(max={retry.max}, interval={retry.intervals})."
        end = (_took_us(job), run.name, run.worker)
        if tried and tried >= retry.max:
            self._mark_ended(job)
            text = f"{asked} It has had its {tried} retries."
            failed = wire.TaskFailed(at_us, *run.about, _RETRY, text, "", end[0], "error", *end[1:])
            self.emit(failed)
            return
        next_us = at_us + type(retry).get_interval(tried, retry.intervals) * _SECOND_US
        self.emit(
            wire.TaskRetrying(at_us, *run.about, _RETRY, asked, "", end[0], next_us, *end[1:])
        )

    @contained
    def fails(self, worker: Any, job: Any, text: str) -> None:
        """RQ is about to write down a failure: in the horse, or in the parent of a dead one."""
        if self._horse is not None:
            self._horse.told()
        self._tell_start_late()
        error = sys.exc_info()[1] if self.run is not None else None
        about = self._about(job)
        name, took = name_of(job), _took_us(job) if self.run is not None else -1
        stopped = getattr(worker, "_stopped_job_id", None) == job.id
        killed, self._killed = self._killed == job.id, ""
        if stopped:
            self._mark_ended(job)
            self.emit(wire.TaskCancelled(*about, "terminated", name, worker.name))
        elif (job.retries_left or 0) > 0:
            kind, message = _told(error, text)
            trace = capture.traceback(text) if error is not None else ""
            next_us = about[0] + job.get_retry_interval() * _SECOND_US
            self.emit(
                wire.TaskRetrying(*about, kind, message, trace, took, next_us, name, worker.name)
            )
        elif error is None and not _is_overdue(job, killed):
            self._mark_ended(job)
            self.emit(wire.TaskLost(*about, _sentence(text), name, worker.name))
        else:
            self._mark_ended(job)
            kind, message = _told(error, text)
            trace = capture.traceback(text) if error is not None else ""
            late = error is None or kind.endswith("JobTimeoutException")
            reason = "timeout" if late else "error"
            self.emit(
                wire.TaskFailed(*about, kind, message, trace, took, reason, name, worker.name)
            )
        self.publishing.release()

    @contained
    def horse_died(self, job: Any) -> None:
        """In the parent."""
        self._killed = job.id

    @contained
    def horse_left(self, worker: Any, job: Any) -> None:
        """In the parent, when RQ has looked after it and is satisfied."""
        if self._horse is not None and self._horse.left_without_a_word():
            self._horse.told()
            self.emit(wire.TaskLost(*self._about(job), _NO_WORD, name_of(job), worker.name))

    @contained
    def abandoned(self, job: Any, text: str, retries: bool) -> None:
        """In any worker: nobody has renewed a started job, so its worker is dead."""
        stamp = rq_stamp.get(job)
        if stamp is not None and stamp.ended:
            return
        about, name = self._about(job), name_of(job)
        worker = vars(job).get("worker_name") or ""
        message = _sentence(text) or "Its worker has not been heard of; RQ gave the job up."
        if retries:
            next_us = about[0] + job.get_retry_interval() * _SECOND_US
            kind = "rq.exceptions.AbandonedJobError"
            self.emit(wire.TaskRetrying(*about, kind, message, "", -1, next_us, name, worker))
            return
        self._mark_ended(job)
        self.emit(wire.TaskLost(*about, message, name, worker))

    @contained
    def forced_to_stop(self, worker: Any, job: Any) -> None:
        """In the parent: a second SIGINT or SIGTERM has killed the horse, and ends the worker."""
        text = "The worker was stopped by force while it ran."
        self.emit(wire.TaskLost(*self._about(job), text, name_of(job), worker.name))

    def _about(self, job: Any) -> tuple[int, str, str, int]:
        at_us = time.time_ns() // 1_000
        return at_us, self.publishing.source_of(job.connection), job.id, attempt_of(job)

    def _mark_ended(self, job: Any) -> None:
        stamp = rq_stamp.get(job) or rq_stamp.Stamp(
            rq_stamp.instant_us(job.enqueued_at), attempt_of(job), False, name_of(job)
        )
        stamp.ended = True
        rq_stamp.put(job, stamp)

    def _knows_all(self, stamp: rq_stamp.Stamp) -> bool:
        """Whether the start can be told before the job is deserialised."""
        return stamp.c or not self.shows_arguments

    def _run_of(self, worker: Any, job: Any, queue: Any, stamp: rq_stamp.Stamp) -> Run:
        if not stamp.name:
            stamp.name = _real_name(job) if self._knows_all(stamp) else name_of(job)
        about = (self.publishing.source_of(job.connection), job.id, stamp.n)
        return Run(job, stamp.name, queue.name, worker.name, _clock_ns() // 1_000, about, stamp)

    def _shown(self, run: Run, value: Any) -> bytes:
        hidden = self.publishing.hidden_in(run.job, run.name)
        return capture.result(value, hidden_in(None, run.name) if hidden is None else hidden)

    @contained
    def _tell_start_with_arguments(self, run: Run) -> None:
        run.name = run.stamp.name = _real_name(run.job)  # RQ has deserialised the job by now
        shown = self.publishing.shown(run.job, run.name)
        sealed = self.publishing.sealed(run.job, run.name) if shown else b""
        run.told = True
        self.emit(self._start_of(run, shown, sealed))

    def _tell_start_late(self) -> None:
        """The function could not be imported, or its arguments not be read."""
        run = self.run
        if run is not None and not run.told:
            run.told = True
            self.emit(self._start_of(run))

    def _start_of(self, run: Run, shown: bytes = b"", sealed: bytes = b"") -> wire.TaskStarted:
        stamp = run.stamp
        return wire.TaskStarted(
            run.at_us,
            *run.about,
            run.name,
            run.worker,
            run.queue,
            shown,
            sealed,
            stamp.at,
            stamp.parent,
            stamp.root,
            vars(run.job).get("group_id") or "",
            False,
            self.release,
            0,
            self.recorder.pid(),
        )


def _stamp_of_another_run(job: Any, old: rq_stamp.Stamp | None) -> rq_stamp.Stamp:
    """Its publisher has no agent. RQ's own time of enqueueing names this run."""
    at_us = _clock_ns() // 1_000
    published_us = rq_stamp.instant_us(job.enqueued_at) or at_us
    if old is None:
        return rq_stamp.Stamp(published_us, attempt_of(job), False, "", *_family_of(job))
    if published_us <= old.at:
        published_us = at_us  # the id was in the queue twice: this is a run of its own
    return rq_stamp.Stamp(published_us, 1, False, "", old.parent, old.root)


def _real_name(job: Any) -> str:
    """RQ deserialises the job a moment later by itself; if it cannot, it says so."""
    try:
        return str(job.func_name or "")
    except Exception as error:
        if type(error).__name__ != "DeserializationError":
            raise
        return name_of(job)


def _family_of(job: Any) -> tuple[str, str]:
    depends_on = vars(job).get("_dependency_ids")
    parent = depends_on[0] if depends_on else ""
    return parent, parent or job.id


def _took_us(job: Any) -> int:
    """As RQ measured it: from before the call to after it."""
    began, ended = job.started_at, job.ended_at
    if not began or not ended:
        return -1
    try:
        took: int = (ended - began) // _MICROSECOND
        return took
    except TypeError:  # only one of them has a zone
        return rq_stamp.instant_us(ended) - rq_stamp.instant_us(began)


def _told(error: BaseException | None, text: str) -> tuple[str, str]:
    """(qualified name, message) of what ended the attempt."""
    if error is None:
        return "WorkHorseTerminated", _sentence(text)
    return capture.exception_name(error), capture.exception_message(error)


def _sentence(text: str) -> str:
    return capture.text(text.strip().rstrip("; "))


def _is_overdue(job: Any, killed: bool) -> bool:
    """Whether the parent itself killed the horse, because not even the time limit had ended it."""
    if not killed or not job.timeout or job.timeout < 0 or not job.started_at or not job.ended_at:
        return False
    return _took_us(job) >= (job.timeout + _PATIENCE_S) * _SECOND_US
