# SPDX-License-Identifier: Apache-2.0
"""Retry, cancel and terminate, carried out by the application's own connection to Redis."""

import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.patches import unwrapped
from queuedeck_agent.engines.rq import call as rq_call
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.publish import attempt_of, name_of, status_of
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine

_WAITING = frozenset({"queued", "scheduled", "deferred"})
STAYS_CANCELLED_S = 0.3
"""A worker that took the job at the same moment has written that down by then."""
VERIFY_S = 3.0


class Commands:
    """What `RqEngine.execute` does, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, engine: "RqEngine") -> None:
        self.agent = agent
        self.engine = engine
        self.connection = engine.connection

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Enqueues the original call, its bytes untouched, under a new id."""
        from rq import Queue
        from rq.job import Job, JobStatus

        try:
            original = rq_call.unpack(call)
        except msgspec.DecodeError as error:
            raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
        new_id = str(uuid.uuid4())
        at_us = time.time_ns() // 1_000
        job = Job(new_id, connection=self.connection)
        rq_call.fill(job, original)
        job.set_status(JobStatus.QUEUED, pipeline=self.connection.pipeline())
        # The worker shows the arguments: here they would have to be deserialised.
        stamp = rq_stamp.Stamp(at_us, 1, False, command.task_name, "", new_id)
        rq_stamp.put(job, stamp)
        queue = Queue(original.origin or "default", connection=self.connection)
        with self.connection.pipeline() as pipeline:
            queue.enqueue_job(job, pipeline=pipeline)
            pipeline.hset(job.key, rq_stamp.FIELD, rq_stamp.encoded(stamp))
            if original.meta:
                pipeline.hset(job.key, "meta", original.meta)
            pipeline.execute()
        seals, source = self.agent.seals, self.engine.source.key
        self.agent.recorder.emit(
            wire.TaskPublished(
                at_us,
                source,
                new_id,
                1,
                command.task_name,
                queue.name,
                sealed=seals.seal(self.agent.project, source, command.task_name, new_id, call),
                root_id=new_id,
                retry_of=command.task_id,
                origin=f"queuedeck{os.getpid()}@{socket.gethostname()}",
            )
        )
        if not self.connection.exists(job.key):
            raise CommandRefused("error", f"Redis does not have the new job {new_id}.")
        effect = f"Enqueued the original call in `{queue.name}` as {new_id}; Redis has it."
        if original.linked:
            effect += " It runs alone: dependencies, repetitions and group are not repeated."
        return self._done(command, effect, new_task_id=new_id)

    def cancel(self, command: wire.CommandBody) -> wire.CommandDone:
        """Takes a waiting job out of its queue; stops a running one only where the host allows."""
        job = self._fetch(command.task_id)
        status = status_of(job)
        if status == "started":
            return self._terminate(command, job)
        if status not in _WAITING:
            raise CommandRefused("error", f"The job is {status or 'not in a queue'}: it has ended.")
        attempt, name = attempt_of(job), name_of(job) or command.task_name
        unwrapped(type(job).cancel)(job)
        if not _stays(lambda: self._status(job) == "canceled", STAYS_CANCELLED_S):
            raise CommandRefused(
                "error",
                "A worker took the job at the same moment: it is running. Cancel it again to stop "
                "it, where the host allows `terminate`.",
            )
        self.agent.recorder.emit(
            wire.TaskCancelled(
                time.time_ns() // 1_000, self.engine.source.key, job.id, attempt, "revoked", name
            )
        )
        return self._done(command, "Taken out of its queue; RQ keeps it as cancelled.")

    def terminate(self, command: wire.CommandBody) -> wire.CommandDone:
        """Stops a running job; one that waits is cancelled."""
        return self.cancel(command)

    def _terminate(self, command: wire.CommandBody, job: Any) -> wire.CommandDone:
        from rq.command import send_stop_job_command

        if "terminate" not in self.agent.policy.allow:
            raise CommandRefused(
                "refused",
                f"The job is running on {job.worker_name}. Stopping it kills its process in the "
                "middle of the work, which this host does not allow: add `terminate` to "
                "QUEUEDECK_ALLOW there and restart the worker.",
            )
        worker = self.engine.worker
        here = worker is not None and worker.name == job.worker_name
        if here and not hasattr(worker, "fork_work_horse"):
            raise CommandRefused(
                "unsupported",
                f"The job is running in a {type(worker).__name__}, inside the worker's own "
                "process, and cannot be stopped. It will go on to its end.",
            )
        send_stop_job_command(self.connection, job.id)
        stopped = _within(lambda: self._status(job) == "stopped", VERIFY_S)
        effect = "Killed the job's work horse." if stopped else f"Asked {job.worker_name} to stop."
        return self._done(command, effect, verified=stopped)

    def _fetch(self, job_id: str) -> Any:
        from rq.exceptions import NoSuchJobError
        from rq.job import Job

        worker = self.engine.worker
        kind: Any = worker.job_class if worker is not None else Job
        serializer = worker.serializer if worker is not None else None
        try:
            return kind.fetch(job_id, connection=self.connection, serializer=serializer)
        except NoSuchJobError:
            raise CommandRefused(
                "error",
                "Redis does not have this job any more: it has ended, expired or was deleted.",
            ) from None

    def _status(self, job: Any) -> str:
        """What Redis says now; the job itself is not touched."""
        found = self.connection.hget(job.key, "status")
        return found.decode() if isinstance(found, bytes) else str(found or "")

    def _done(
        self,
        command: wire.CommandBody,
        effect: str,
        new_task_id: str = "",
        verified: bool = True,
    ) -> wire.CommandDone:
        at_us = time.time_ns() // 1_000
        return wire.CommandDone(at_us, command.command_id, effect, new_task_id, verified)


def _within(check: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True


def _stays(check: Callable[[], bool], seconds: float) -> bool:
    return not _within(lambda: not check(), seconds)
