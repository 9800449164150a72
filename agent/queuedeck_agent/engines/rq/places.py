# SPDX-License-Identifier: Apache-2.0
"""Commands about where a job stands: nearer to the front, in another queue, back from the failed
ones; and what RQ says of it now. Registries are read as they are: RQ's own reading cleans them up.
"""

import time
from typing import TYPE_CHECKING, NamedTuple

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.commands import Action, done, reconciled
from queuedeck_agent.engines.patches import unwrapped
from queuedeck_agent.engines.rq import known, scripts, sending
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine
    from queuedeck_agent.engines.rq.commands import Commands

MOST_REQUEUED = 1_000
_STATES = {
    "queued": "queued",
    "deferred": "queued",
    "scheduled": "scheduled",
    "started": reconcile.STARTED,
    "finished": "succeeded",
    "failed": "failed",
    "stopped": "cancelled",
    "canceled": "cancelled",
}
_PLACES = {"scheduled": "rq:scheduled:", "deferred": "rq:deferred:"}


class Seen(NamedTuple):
    """A job as its hash says, not deserialised."""

    key: str
    status: str
    queue: str
    worker: str
    started: str


class Places:
    """On the thread of the agent's runner."""

    def __init__(self, agent: Agent, engine: "RqEngine", jobs: "Commands") -> None:
        self.agent = agent
        self.engine = engine
        self.connection = engine.connection
        self._fetch = jobs.fetch

    @property
    def actions(self) -> dict[str, Action]:
        """By verb."""
        return {
            "priority": self.priority,
            "move": self.move,
            "requeue": self.requeue,
            "reconcile": self.reconcile,
        }

    def priority(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """To the front of its queue, or to its end: RQ has no more than that."""
        job, seen = command.task_id, self._waiting(command.task_id)
        if seen.status != "queued":
            raise CommandRefused(
                "unsupported",
                f"The job is {seen.status}: it is in no queue yet, where it could be first.",
            )
        queue, first = f"{scripts.QUEUE}{seen.queue}", command.details.priority > 0
        keys = (seen.key, queue)
        push = "lpush" if first else "rpush"
        if not self.connection.eval(scripts.PUSH_AGAIN, 2, *keys, job, push):
            raise _taken()
        place = "front" if first else "end"
        at_place = scripts.text(self.connection.lindex(queue, 0 if first else -1)) == job
        effect = f"Put at the {place} of `{seen.queue}`, in one step."
        if not at_place:
            effect += " It is not there any more: others came after it, or a worker took it."
        return done(command, effect)

    def move(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """To the end of another queue, or into its registry of scheduled or deferred jobs."""
        job, seen = command.task_id, self._waiting(command.task_id)
        to = command.details.queue
        if not to or to == seen.queue:
            raise CommandRefused("invalid", f"The job is in `{seen.queue}`: name another queue.")
        queue = f"{scripts.QUEUE}{to}"
        place = _PLACES.get(seen.status, scripts.QUEUE)
        keys = (seen.key, f"{place}{seen.queue}", f"{place}{to}", scripts.QUEUES, queue)
        if not self.connection.eval(scripts.MOVE, len(keys), *keys, job, to, seen.status):
            raise _taken()
        effect = f"Moved from `{seen.queue}` to the end of `{to}`, in one step."
        if seen.status != "queued":
            effect = f"Moved from `{seen.queue}` to `{to}`; it stays {seen.status}, in one step."
        verified = scripts.text(self.connection.hget(seen.key, "origin")) == to
        effect += sending.served(self.connection, to)
        return done(command, effect, verified=verified)

    def requeue(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Failed jobs run again, each under its old id: RQ's own way."""
        ids = command.details.ids or tuple(filter(None, (command.task_id,)))
        refused: list[CommandRefused] = []
        for job_id in ids[:MOST_REQUEUED]:
            try:
                self._requeue(job_id)
            except CommandRefused as refusal:
                refused.append(refusal)
        count = len(ids[:MOST_REQUEUED]) - len(refused)
        if not count:
            raise refused[0] if refused else CommandRefused("invalid", "No job was named.")
        effect = f"Put {count} of {len(ids)} back into their queues, each under its own id."
        if refused:
            effect += f" The first that was not: {refused[0].message}"
        return done(command, effect, affected=count)

    def reconcile(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Asks Redis; changes nothing there."""
        if command.details.tasks:
            return reconcile.one_by_one(self.agent, command, self._state_of)
        state, where = self._state_of(command)
        return done(command, where, found=reconciled(reconcile.shown(state), where))

    def _state_of(self, command: wire.CommandBody) -> tuple[str, str]:
        """RQ's books, which nobody changes when a worker dies: another one does, minutes later."""
        seen = self._seen(command.task_id)
        if not seen.status:
            where = "Redis does not have the job: it has ended and expired, or was deleted."
            return "gone", where
        self._fetch(command.task_id)
        state = _STATES.get(seen.status, reconcile.UNKNOWN)
        return state, self._where(command.task_id, seen)

    def _seen(self, job_id: str) -> Seen:
        key = f"{scripts.JOB}{job_id}"
        fields = self.connection.hmget(key, "status", "origin", "worker_name", "started_at")
        return Seen(key, *map(scripts.text, fields))

    def _waiting(self, job_id: str) -> Seen:
        self._fetch(job_id)
        seen = self._seen(job_id)
        if seen.status not in ("queued", "scheduled", "deferred"):
            raise CommandRefused("error", f"The job does not wait: it is {seen.status or 'gone'}.")
        return seen

    def _requeue(self, job_id: str) -> None:
        from redis.exceptions import WatchError
        from rq import Queue

        job = self._fetch(job_id)
        name = known.name_in(job)
        failed = f"rq:failed:{job.origin}"
        queue = Queue(job.origin, connection=self.connection, serializer=job.serializer)
        at_us = time.time_ns() // 1_000
        old = rq_stamp.get(job)
        family = (old.parent, old.root or job_id) if old is not None else ("", job_id)
        stamp = rq_stamp.Stamp(at_us, 1, False, name, *family)
        with self.connection.pipeline() as pipeline:
            pipeline.watch(job.key)
            if pipeline.zscore(failed, job_id) is None:
                raise CommandRefused(
                    "error", f"The job {job_id} is not among the failed ones of `{job.origin}`."
                )
            pipeline.multi()
            pipeline.zrem(failed, job_id)
            # It has the time to live of a failed job. Waiting, it must not expire.
            pipeline.persist(job.key)
            pipeline.sadd(scripts.QUEUES, queue.key)
            job.started_at = job.ended_at = None
            job._exc_info = ""  # as RQ's own registry does
            rq_stamp.put(job, stamp)
            unwrapped(vars(Queue)["_enqueue_job"])(queue, job, pipeline=pipeline)
            pipeline.hset(job.key, rq_stamp.FIELD, rq_stamp.encoded(stamp))
            try:
                pipeline.execute()
            except WatchError:
                text = f"Somebody changed the job {job_id} at the same moment: look at it again."
                raise CommandRefused("error", text) from None
        self.agent.recorder.emit(
            wire.TaskPublished(
                at_us,
                self.engine.source.key,
                job_id,
                1,
                name,
                queue.name,
                parent_id=stamp.parent,
                root_id=stamp.root,
                origin=sending.origin(),
            )
        )

    def _where(self, job_id: str, seen: Seen) -> str:
        """Which queue or registry, which worker, and what is odd about it."""
        connection, queue = self.connection, seen.queue
        if seen.status == "queued":
            return self._place_in(queue, job_id)
        if seen.status == "scheduled":
            due = connection.zscore(f"rq:scheduled:{queue}", job_id)
            if due is None:
                return f"Said to be scheduled, but not among the scheduled jobs of `{queue}`."
            return f"Scheduled for `{queue}`, due in {max(0, int(due - time.time()))} s."
        if seen.status == "deferred":
            return f"Deferred in `{queue}` until the jobs that it depends on have ended."
        if seen.status == "started":
            return self._running(seen)
        kept = connection.ttl(seen.key)
        return f"{seen.status} in `{queue}`; RQ keeps that " + (
            f"for {kept} s more." if kept >= 0 else "until it is deleted."
        )

    def _place_in(self, queue: str, job_id: str) -> str:
        before = self._index(f"{scripts.QUEUE}{queue}", job_id)
        if before >= 0:
            return f"In `{queue}`, with {before} before it."
        if self._index(f"{scripts.QUEUE}{queue}:intermediate", job_id) >= 0:
            return f"A worker has just taken it from `{queue}`, or died in that moment."
        return f"Said to be queued, but not in `{queue}`: no worker will find it there."

    def _index(self, key: str, job_id: str) -> int:
        """Where it is in a list; -1 if it is not."""
        from redis.exceptions import ResponseError

        try:
            found = self.connection.execute_command("LPOS", key, job_id)
        except ResponseError:  # a Redis before 6.0.6
            ids = [scripts.text(one) for one in self.connection.lrange(key, 0, -1)]
            found = ids.index(job_id) if job_id in ids else None
        return -1 if found is None else int(found)

    def _running(self, seen: Seen) -> str:
        heard = scripts.text(self.connection.hget(f"rq:worker:{seen.worker}", "last_heartbeat"))
        if heard:
            return f"Runs on {seen.worker}, which was last heard of at {heard}."
        return (
            f"Started on {seen.worker or 'a worker'}, which is not heard of any more. RQ gives the "
            "job up when a worker starts, and every ten minutes."
        )


def _taken() -> CommandRefused:
    return CommandRefused("error", "A worker took the job at the same moment: it was left alone.")
