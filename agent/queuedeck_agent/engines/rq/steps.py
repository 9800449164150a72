# SPDX-License-Identifier: Apache-2.0
"""The steps around RQ's methods. RQ has no hooks and no signals, in no version: each is a patch.

A step calls the hooks before and after RQ's own method, and changes neither what goes in nor what
comes out.
"""

import threading
from typing import TYPE_CHECKING, Any

from queuedeck_agent.engines.patches import Method, Patches, unwrapped
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.publish import status_of
from queuedeck_agent.guard import contained

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.boot import Boot
    from queuedeck_agent.engines.rq.run import RunHooks

_WAITING = frozenset({"queued", "scheduled", "deferred"})


class Steps:
    """One method for each patched one; `boot` has the hooks, once there are any."""

    def __init__(self, boot: "Boot") -> None:
        self._boot = boot
        self._now = threading.local()
        """What RQ does in this thread: `taking` a job, `cleaning` up."""

    def put(self, patches: Patches) -> None:
        """Patches what every way to enqueue, or to run, goes through in RQ 2.12. Names that an
        older version does not have are left out: what they would tell is not seen there. Up to
        1.16 a `BaseWorker` has no part in running jobs."""
        from rq import job, queue, registry, worker

        base: type[Any] = getattr(worker, "BaseWorker", worker.Worker)
        for owner, name, make in (
            (job.Job, "to_dict", self._to_dict),
            (job.Job, "restore", self._restore),
            (job.Job, "retry", self._retries),
            (job.Job, "_handle_retry_result", self._retries),
            (job.Job, "_handle_failure", self._gives_up),
            (job.Job, "register_dependency", self._defers),
            (job.Job, "cancel", self._cancels),
            (job.Job, "delete", self._deletes),
            (job.Job, "fetch", self._fetches),
            (job.Job, "func", self._finds_function),
            (queue.Queue, "_enqueue_job", self._enqueues),
            (queue.Queue, "schedule_job", self._schedules),
            (queue.Queue, "dequeue_any", self._dequeues),
            (registry.StartedJobRegistry, "cleanup", self._cleans_up),
            (base, "register_birth", self._is_born),
            (base, "perform_job", self._performs),
            (base, "handle_job_success", self._succeeds),
            (base, "handle_job_failure", self._fails),
            (base, "handle_job_retry", self._asks_again),
            (base, "handle_work_horse_killed", self._horse_died),
            (worker.Worker, "fork_work_horse", self._forks),
            (worker.Worker, "monitor_work_horse", self._monitors),
        ):
            found = worker.Worker if owner is base and name not in vars(base) else owner
            patches.wrap(found, name, make)
        cleanup = unwrapped(vars(registry.StartedJobRegistry)["cleanup"])
        if "_handle_failure" not in cleanup.__code__.co_names:  # older ones do it all themselves
            patches.wrap(job.Job, "set_status", self._is_given_up)

    # --- The job itself ---

    def _to_dict(self, original: Method) -> Method:
        def to_dict(job: Any, *args: Any, **kwargs: Any) -> Any:
            fields = original(job, *args, **kwargs)
            rq_stamp.write(job, fields)
            return fields

        return to_dict

    def _restore(self, original: Method) -> Method:
        def restore(job: Any, raw_data: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(job, raw_data, *args, **kwargs)
            rq_stamp.read(job, raw_data)
            return result

        return restore

    # --- Enqueueing ---

    def _enqueues(self, original: Method) -> Method:
        def _enqueue_job(queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            if not getattr(queue, "_is_async", True):  # it runs here and now: there is no task
                return original(queue, job, *args, **kwargs)
            hooks = self._boot.publishing(job.connection)
            say = hooks.before(job, queue.name) if hooks is not None else None
            result = original(queue, job, *args, **kwargs)
            if hooks is not None and say is not None:
                hooks.after(say, _argument("pipeline", 0, args, kwargs))
            return result

        return _enqueue_job

    def _schedules(self, original: Method) -> Method:
        def schedule_job(queue: Any, job: Any, datetime: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.publishing(job.connection)
            due_us = contained(rq_stamp.instant_us)(datetime) or 0
            say = hooks.before(job, queue.name, due_us) if hooks is not None else None
            result = original(queue, job, datetime, *args, **kwargs)
            if hooks is not None and say is not None:
                hooks.after(say, _argument("pipeline", 0, args, kwargs))
            return result

        return schedule_job

    def _defers(self, original: Method) -> Method:
        """It waits for other jobs: RQ keeps it out of the queue until they have ended."""

        def register_dependency(job: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.publishing(job.connection)
            say = hooks.before(job, job.origin) if hooks is not None else None
            result = original(job, *args, **kwargs)
            if hooks is not None and say is not None:
                hooks.after(say, _argument("pipeline", 0, args, kwargs))
            return result

        return register_dependency

    def _cancels(self, original: Method) -> Method:
        def cancel(job: Any, *args: Any, **kwargs: Any) -> Any:
            waits = status_of(job) in _WAITING
            result = original(job, *args, **kwargs)
            hooks = self._boot.publishing(job.connection) if waits else None
            if hooks is not None:
                hooks.cancelled(job, _argument("pipeline", 0, args, kwargs))
            return result

        return cancel

    def _deletes(self, original: Method) -> Method:
        """Deleting a job that waits is how some applications cancel it."""

        def delete(job: Any, *args: Any, **kwargs: Any) -> Any:
            waits = status_of(job) in _WAITING
            result = original(job, *args, **kwargs)
            hooks = self._boot.publishing(job.connection) if waits else None
            if hooks is not None:
                hooks.cancelled(job, _argument("pipeline", 0, args, kwargs))
            return result

        return delete

    def _retries(self, original: Method) -> Method:
        def retry(job: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.publishing(job.connection)
            if hooks is not None:
                hooks.again(job)
            abandons = self._cleaning()
            if abandons is not None:
                abandons.abandoned(job, "", retries=True)
            return original(job, *args, **kwargs)

        return retry

    # --- Taking and giving up ---

    def _dequeues(self, original: Method) -> Method:
        def dequeue_any(cls: Any, queues: Any, timeout: Any, *args: Any, **kwargs: Any) -> Any:
            gate = self._boot.engine.gate if self._boot.engine is not None else None
            self._now.taking = True
            try:
                if gate is None:
                    return original(cls, queues, timeout, *args, **kwargs)
                return gate.take(
                    lambda some, seconds: original(cls, some, seconds, *args, **kwargs),
                    queues,
                    timeout,
                )
            finally:
                self._now.taking = False

        return dequeue_any

    def _fetches(self, original: Method) -> Method:
        def fetch(cls: Any, id: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(cls, id, *args, **kwargs)
            except Exception as error:
                if type(error).__name__ == "NoSuchJobError" and getattr(self._now, "taking", False):
                    connection = _argument("connection", 0, args, kwargs)
                    hooks = self._boot.publishing(connection)
                    if hooks is not None:
                        hooks.expired(id, connection)
                raise

        return fetch

    def _cleans_up(self, original: Method) -> Method:
        def cleanup(registry: Any, *args: Any, **kwargs: Any) -> Any:
            self._now.cleaning = True
            try:
                return original(registry, *args, **kwargs)
            finally:
                self._now.cleaning = False

        return cleanup

    def _gives_up(self, original: Method) -> Method:
        def _handle_failure(job: Any, *args: Any, **kwargs: Any) -> Any:
            abandons = self._cleaning()
            if abandons is not None:
                abandons.abandoned(job, _argument("exc_string", 0, args, kwargs), retries=False)
            return original(job, *args, **kwargs)

        return _handle_failure

    def _is_given_up(self, original: Method) -> Method:
        def set_status(job: Any, status: Any, *args: Any, **kwargs: Any) -> Any:
            abandons = self._cleaning()
            if abandons is not None and getattr(status, "value", status) == "failed":
                abandons.abandoned(job, "", retries=False)
            return original(job, status, *args, **kwargs)

        return set_status

    def _cleaning(self) -> "RunHooks | None":
        engine = self._boot.engine
        if engine is None or not getattr(self._now, "cleaning", False):
            return None
        return engine.runs

    # --- Working ---

    def _is_born(self, original: Method) -> Method:
        def register_birth(worker: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(worker, *args, **kwargs)
            self._boot.works(worker)
            return result

        return register_birth

    def _forks(self, original: Method) -> Method:
        def fork_work_horse(worker: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.running(worker)
            if hooks is None:
                return original(worker, job, queue, *args, **kwargs)
            self._boot.awaits = job if hooks.forks(worker, job, queue) else None
            horse = 0
            try:
                result = original(worker, job, queue, *args, **kwargs)
                horse = worker.horse_pid
            finally:
                self._boot.awaits = None
                hooks.forked(horse)
            return result

        return fork_work_horse

    def _monitors(self, original: Method) -> Method:
        def monitor_work_horse(worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = original(worker, job, *args, **kwargs)
            except SystemExit:
                hooks = self._boot.running(worker)
                if hooks is not None:
                    hooks.forced_to_stop(worker, job)
                raise
            hooks = self._boot.running(worker)
            if hooks is not None:
                hooks.horse_left(worker, job)
            return result

        return monitor_work_horse

    def _performs(self, original: Method) -> Method:
        boot = self._boot

        def perform_job(worker: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
            if boot.awaits is job:  # the parent of this horse has done all that there is to do
                return original(worker, job, queue, *args, **kwargs)
            hooks = boot.running(worker)
            if hooks is None:
                return original(worker, job, queue, *args, **kwargs)
            hooks.begins(worker, job, queue)
            try:
                return original(worker, job, queue, *args, **kwargs)
            finally:
                hooks.ends()

        return perform_job

    def _finds_function(self, original: Method) -> Method:
        """A property by which RQ imports the function, right before the call: only now the names
        of its parameters are known. No frame of ours is on the stack while the function runs."""

        boot = self._boot

        def func(job: Any) -> Any:
            found = original(job)
            hooks = boot.engine.runs if boot.awaits is not job and boot.engine is not None else None
            if hooks is not None:
                hooks.calls(job)
            return found

        return func

    def _succeeds(self, original: Method) -> Method:
        def handle_job_success(worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.running(worker)
            if hooks is None:
                return original(worker, job, *args, **kwargs)
            hooks.may_end(job)
            result = original(worker, job, *args, **kwargs)
            hooks.succeeded()
            return result

        return handle_job_success

    def _fails(self, original: Method) -> Method:
        def handle_job_failure(worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.running(worker)
            if hooks is not None:
                hooks.fails(worker, job, _argument("exc_string", 2, args, kwargs) or "")
            return original(worker, job, *args, **kwargs)

        return handle_job_failure

    def _asks_again(self, original: Method) -> Method:
        def handle_job_retry(worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.running(worker)
            if hooks is not None:
                hooks.asks_again(worker, job, _argument("retry", 1, args, kwargs))
            return original(worker, job, *args, **kwargs)

        return handle_job_retry

    def _horse_died(self, original: Method) -> Method:
        def handle_work_horse_killed(worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            hooks = self._boot.running(worker)
            if hooks is not None:
                hooks.horse_died(job)
            return original(worker, job, *args, **kwargs)

        return handle_work_horse_killed


def _argument(name: str, place: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An argument of a patched method, given by name or by place."""
    if name in kwargs:
        return kwargs[name]
    return args[place] if len(args) > place else None
