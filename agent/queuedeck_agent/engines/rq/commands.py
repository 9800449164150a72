# SPDX-License-Identifier: Apache-2.0
"""Commands that make a new job, and those that end one, by the application's own connection."""

import time
from typing import TYPE_CHECKING, Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import Action, done, stays, within
from queuedeck_agent.engines.patches import unwrapped
from queuedeck_agent.engines.rq import call as rq_call
from queuedeck_agent.engines.rq import known, making, scripts, sending
from queuedeck_agent.engines.rq.publish import attempt_of, status_of
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine

WAITING = frozenset({"queued", "scheduled", "deferred"})
STAYS_CANCELLED_S = 0.3
"""A worker that took the job at the same moment has written that down by then."""
VERIFY_S = 3.0


class Commands:
    """On the thread of the agent's runner."""

    def __init__(self, agent: Agent, engine: "RqEngine") -> None:
        self.agent = agent
        self.engine = engine
        self.connection = engine.connection

    @property
    def actions(self) -> dict[str, Action]:
        """By verb."""
        return {
            "retry": self.retry,
            "edit": self.edit,
            "submit": self.submit,
            "cancel": self.cancel,
            "terminate": self.cancel,
        }

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Enqueues the original call, its bytes untouched, under a new id."""
        original = _unpacked(call)
        return sending.send(self.agent, self.engine, command, original, retry_of=command.task_id)

    def edit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """As `retry`, with what the operator changed; without a sealed call, with what he wrote."""
        sending.check_place(command.details)
        engine, given = self.engine, command.details.args
        if not call:
            return self._enter(command)
        original = _unpacked(call)
        name = command.task_name
        made = making.edited(original.data, name, given, engine.serializer, engine.has_horses)
        described = original.description.startswith(f"{name}(")
        edited = msgspec.structs.replace(
            original,
            data=made.data,
            description=made.description if described else original.description,
        )
        return sending.send(
            self.agent, engine, command, edited, made.shown, retry_of=command.task_id
        )

    def submit(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Enqueues a call by its name, with what the operator wrote."""
        sending.check_place(command.details)
        return self._enter(command)

    def cancel(self, command: wire.CommandBody, _: bytes = b"") -> wire.CommandDone:
        """Takes a waiting job out of its queue; stops a running one only where the host allows."""
        job = self.fetch(command.task_id)
        status = status_of(job)
        if status == "started":
            return self._terminate(command, job)
        if status not in WAITING:
            raise CommandRefused("error", f"The job is {status or 'not in a queue'}: it has ended.")
        attempt, name = attempt_of(job), known.name_in(job)
        unwrapped(type(job).cancel)(job)
        if not stays(lambda: self._status(job) == "canceled", STAYS_CANCELLED_S):
            raise CommandRefused(
                "error",
                "A worker took the job at the same moment: it is running. Cancel it again to stop "
                "it, where the host allows `terminate`.",
            )
        at_us, source = time.time_ns() // 1_000, self.engine.source.key
        self.agent.recorder.emit(
            wire.TaskCancelled(at_us, source, job.id, attempt, "revoked", name)
        )
        return done(command, "Taken out of its queue; RQ keeps it as cancelled.")

    def name_of(self, command: wire.CommandBody) -> str:
        """By the job that Redis has."""
        return known.name_in(self.fetch(command.task_id))

    def fetch(self, job_id: str) -> Any:
        """The job, its call not deserialised. Raises `CommandRefused` when it is gone, or of a name
        that the host does not allow: what a command says of an id may be a lie."""
        from rq.exceptions import NoSuchJobError
        from rq.job import Job

        worker = self.engine.worker
        kind: Any = worker.job_class if worker is not None else Job
        serializer = self.engine.serializer
        try:
            job = kind.fetch(job_id, connection=self.connection, serializer=serializer)
        except NoSuchJobError:
            raise CommandRefused(
                "error",
                "Redis does not have this job any more: it has ended, expired or was deleted.",
            ) from None
        self.agent.policy.check_task(known.name_in(job))
        return job

    def _enter(self, command: wire.CommandBody) -> wire.CommandDone:
        engine, name = self.engine, command.task_name
        served = engine.queue_names
        queue = command.details.queue or command.queue or (*served, "default")[0]
        known.check(self.agent, engine, name, (queue, *served))
        given = command.details.args
        made = making.entered(name, given, engine.serializer, engine.has_horses)
        call = rq_call.SealedCall(made.data, queue, made.description)
        return sending.send(self.agent, engine, command, call, made.shown, retry_of=command.task_id)

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
        if here and not self.engine.has_horses:
            raise CommandRefused(
                "unsupported",
                f"A {type(worker).__name__} runs jobs in its own process: none can be stopped. "
                "This one will go on to its end.",
            )
        send_stop_job_command(self.connection, job.id)
        stopped = within(lambda: self._status(job) == "stopped", VERIFY_S)
        effect = "Killed the job's work horse." if stopped else f"Asked {job.worker_name} to stop."
        return done(command, effect, verified=stopped)

    def _status(self, job: Any) -> str:
        """What Redis says now; the job itself is not touched."""
        return scripts.text(self.connection.hget(job.key, "status"))


def _unpacked(call: bytes) -> rq_call.SealedCall:
    try:
        return rq_call.unpack(call)
    except msgspec.DecodeError as error:
        raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
