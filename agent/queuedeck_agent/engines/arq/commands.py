# SPDX-License-Identifier: Apache-2.0
"""Verbs of a task, carried out in the application's own event loop and by its own connections."""

import asyncio
import difflib
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from queuedeck_agent import edit, wire
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.arq import call as arq_call
from queuedeck_agent.engines.arq import redis as arq_redis
from queuedeck_agent.engines.arq.connection import Connection
from queuedeck_agent.engines.arq.publish import OPTIONS, retry_of
from queuedeck_agent.engines.commands import Action, done, reconciled, within
from queuedeck_agent.errors import CommandRefused

VERIFY_S = 3.0
NO_PRIORITY = (
    "arq has no priorities: a queue is in the order in which its jobs are due, and to write "
    "another moment there would change what arq says of when the job was due."
)


class Commands:
    """What `ArqEngine.execute` does with a task, on the thread of the agent's runner."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.agent = connection.agent
        self.source = connection.source
        self.actions: Mapping[str, Action] = {
            "retry": self.retry,
            "edit": self.edit,
            "submit": self.submit,
            "cancel": self.cancel,
            "terminate": self.cancel,
            "move": self.move,
            "reconcile": self.reconcile,
        }

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original arguments as a new job."""
        name, args, kwargs, queue = self._opened(command, call)
        new_id = self._send(command, name, args, kwargs, queue)
        return done(
            command,
            f"Sent the original call to queue `{queue}` as {new_id}; Redis took it.",
            new_id,
        )

    def edit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The same with what an operator changed."""
        details = command.details
        if call:
            name, args, kwargs, queue = self._opened(command, call)
            hidden = self.connection.functions.hidden_in(name)
            edited = edit.merged(details.args, args, kwargs, hidden)
        else:
            name, queue = command.task_name, self._queue_for(command)
            edited = edit.entered(details.args)
        queue = details.queue or queue
        new_id = self._send(command, name, edited.args, edited.kwargs, queue)
        return done(
            command, f"Sent the edited call to queue `{queue}` as {new_id}; Redis took it.", new_id
        )

    def submit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """A new job of a function that this process knows."""
        name, known = command.task_name, self.connection.functions.names
        if name not in known:
            near = ", ".join(f"`{one}`" for one in difflib.get_close_matches(name, known, 3, 0.5))
            raise CommandRefused(
                "invalid",
                f"The workers of this process have no function `{name}`."
                + (f" They have {near}." if near else ""),
            )
        given = edit.entered(command.details.args)
        queue = self._queue_for(command)
        new_id = self._send(command, name, given.args, given.kwargs, queue)
        return done(command, f"Sent it to queue `{queue}` as {new_id}; Redis took it.", new_id)

    def cancel(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Takes a waiting job out; stops a running one only where the host allows."""
        job_id = command.task_id
        worker = self.connection.worker_with(job_id)
        if worker is not None:
            return self._stop(command, worker)
        queues = self.connection.queues(command.queue)
        found = self.connection.ask(lambda pool: arq_redis.remove(pool, queues, job_id))
        if isinstance(found, arq_redis.Taken):
            self.agent.recorder.emit(
                wire.TaskCancelled(
                    time.time_ns() // 1_000,
                    self.source,
                    job_id,
                    found.attempt,
                    "revoked",
                    command.task_name,
                )
            )
            return done(command, "Removed the job from its queue: it will not run.")
        if found == "gone":
            raise self._gone()
        return self._ask_to_stop(command)

    def name_of(self, command: wire.CommandBody) -> str:
        """By the job's own message, which stays in Redis until it has ended."""
        from arq.constants import job_key_prefix

        data = self.connection.ask(lambda pool: pool.get(job_key_prefix + command.task_id))
        return str(self.connection.reader()(data)["f"]) if data else ""

    def move(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """To another sorted set; when it is due, and its tries, stay as they are."""
        target, job_id = command.details.queue, command.task_id
        if not target:
            raise CommandRefused("invalid", "The queue to move to is missing.")
        queues = self.connection.queues(command.queue)
        place = self.connection.ask(lambda pool: arq_redis.move(pool, queues, job_id, target))
        if place == "gone":
            raise self._gone()
        if place == "running":
            raise CommandRefused("error", "The job is running: only one that waits can be moved.")
        if place == "there":
            return done(command, f"The job is in queue `{target}` already.")
        score = self.connection.ask(lambda pool: pool.zscore(target, job_id))
        text = f"Moved the job to queue `{target}`; when it is due stays as it was."
        if not self.connection.workers_of(target):
            text += " Whether a worker serves that queue, arq does not say."
        taken = "" if score is not None else " A worker there has taken it already."
        return done(command, text + taken)

    def reconcile(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """What Redis has of the job now. Reading a result of arq does not take it away."""
        if command.details.tasks:
            return reconcile.one_by_one(self.agent, command, self._state_of)
        state, where = self._state_of(command)
        return done(command, f"arq says: {where}.", found=reconciled(state, where))

    def _state_of(self, command: wire.CommandBody) -> tuple[str, str]:
        job_id, queues = command.task_id, self.connection.queues(command.queue)
        known = self.connection.ask(lambda pool: arq_redis.look(pool, queues, job_id))
        return self._state(known, job_id)

    def _state(self, known: arq_redis.Known, job_id: str) -> tuple[str, str]:
        if known.result is not None:
            return self._ended(known.result, job_id)
        worker = self.connection.worker_with(job_id)
        if worker is not None:
            return "running", f"the worker of queue `{worker.queue_name}` in this process runs it"
        if known.mark_ms >= 0:
            left_s = known.mark_ms / 1_000
            text = f"a worker has marked it as its own; the mark ends in {left_s:.0f} s, then arq"
            return "running", f"{text} runs it again if it has not ended"
        if known.queue is None:
            return "gone", "the job is in no queue that this process knows, and has no result"
        later_s = known.score / 1_000 - time.time()
        tries = f", after {known.tries} tries" if known.tries else ""
        if later_s > 0:
            return "scheduled", f"due in {later_s:.0f} s in queue `{known.queue}`{tries}"
        return "queued", f"waiting in queue `{known.queue}`{tries}"

    def _ended(self, result: bytes, job_id: str) -> tuple[str, str]:
        try:
            found = self.connection.reader()(result)
            is_success, value = bool(found["s"]), found["r"]
        except Exception as error:  # noqa: BLE001 - whatever the application's own code raises
            raise CommandRefused(
                "error",
                "The job has ended: arq has its result. But the application cannot read it: "
                f"{type(error).__name__}.",
            ) from None
        if is_success:
            return "succeeded", "it has stored its result"
        if isinstance(value, asyncio.CancelledError):
            return "cancelled", "its result says that it was aborted"
        return "failed", f"its result is an exception, {type(value).__name__}"

    def _opened(
        self, command: wire.CommandBody, call: bytes
    ) -> "tuple[str, Sequence[Any], dict[str, Any], str]":
        try:
            original = arq_call.unpack(call)
        except msgspec.DecodeError as error:
            raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
        try:
            message = self.connection.reader()(original.message)
            name, args, kwargs = message["f"], message["a"], message["k"]
        except CommandRefused:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the application's own code raises
            why = f"The application cannot read the call any more: {type(error).__name__}: {error}."
            raise CommandRefused("error", why) from None
        if command.task_name and name != command.task_name:
            raise CommandRefused("invalid", "The sealed call is one of another job.")
        return name, args, kwargs, original.queue

    def _queue_for(self, command: wire.CommandBody) -> str:
        """What the operator says, else where the task was, else where the function is served."""
        for worker in list(self.connection.workers):
            if command.task_name in worker.functions:
                return command.details.queue or command.queue or str(worker.queue_name)
        pool, _ = self.connection.find()
        return command.details.queue or command.queue or str(pool.default_queue_name)

    def _send(
        self, command: wire.CommandBody, name: str, args: Any, kwargs: "dict[str, Any]", queue: str
    ) -> str:
        details = command.details
        if command.verb != "retry" and details.priority >= 0:
            raise CommandRefused("unsupported", NO_PRIORITY)
        if taken := OPTIONS.intersection(kwargs):
            raise CommandRefused(
                "invalid", f"arq takes `{min(taken)}` for itself: it cannot be an argument."
            )
        options: dict[str, Any] = {"_queue_name": queue}
        if details.delay_s > 0:
            options["_defer_by"] = timedelta(seconds=details.delay_s)
        pool, loop = self.connection.find()

        async def send() -> Any:
            retry_of.set(command.task_id)
            # Through our own hook, which reports it.
            return await pool.enqueue_job(name, *args, **options, **kwargs)

        return str(self.connection.run(loop, send()).job_id)

    def _stop(self, command: wire.CommandBody, worker: Any) -> wire.CommandDone:
        """The same way as arq's own abort, without the detour over Redis."""
        self._check_may_stop("in this worker")
        job_id = command.task_id

        async def stop() -> bool:
            task = worker.job_tasks.get(job_id)
            if task is None:
                return False
            worker.aborting_tasks.add(job_id)
            task.cancel()
            return True

        asked = self.connection.run(worker.loop, stop())
        stopped = asked and within(lambda: job_id not in worker.job_tasks, VERIFY_S)
        effect = "Stopped the job." if stopped else "Asked the job to stop; it has not ended yet."
        return done(command, effect, verified=stopped)

    def _ask_to_stop(self, command: wire.CommandBody) -> wire.CommandDone:
        self._check_may_stop("in another worker")
        workers = list(self.connection.workers)
        if workers and not any(worker.allow_abort_jobs for worker in workers):
            raise CommandRefused(
                "unsupported",
                "The job is running in another worker, and `allow_abort_jobs` is not set here, so "
                "arq has no way to tell it. It will go on to its end.",
            )
        from arq import constants

        mark = {command.task_id: time.time_ns() // 1_000_000}
        self.connection.ask(lambda pool: pool.zadd(constants.abort_jobs_ss, mark))
        effect = "Asked the worker that runs the job to abort it; it does if `allow_abort_jobs` is "
        return done(command, f"{effect}set there.", verified=False)

    def _check_may_stop(self, where: str) -> None:
        if "terminate" not in self.agent.policy.allow:
            raise CommandRefused(
                "refused",
                f"The job is running {where}. Stopping it cancels it in the middle of its work, "
                "which this host does not allow: add `terminate` to QUEUEDECK_ALLOW there and "
                "restart the worker.",
            )

    def _gone(self) -> CommandRefused:
        return CommandRefused(
            "error", "The job is in no queue that this process knows: it has ended, or expired."
        )
