# SPDX-License-Identifier: Apache-2.0
"""Retry and cancel, carried out in the application's own event loop and by its own connections."""

import asyncio
import concurrent.futures
import pickle
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.engines.arq import call as arq_call
from queuedeck_agent.engines.arq import redis as arq_redis
from queuedeck_agent.engines.arq.publish import PublishHooks, retry_of
from queuedeck_agent.errors import CommandRefused

LOOP_S = 10.0
"""How long the application's loop may take."""
VERIFY_S = 3.0


class Commands:
    """What `ArqEngine.execute` does, on the thread of the agent's runner."""

    def __init__(self, publishing: PublishHooks, workers: "weakref.WeakSet[Any]") -> None:
        self.publishing = publishing
        self.agent = publishing.agent
        self.source = publishing.source
        self.workers = workers
        self.pool: Callable[[], Any] = lambda: None
        self.loop: asyncio.AbstractEventLoop | None = None

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original arguments as a new job."""
        try:
            original = arq_call.unpack(call)
        except msgspec.DecodeError as error:
            raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
        pool, loop = self._connection()
        read = pool.job_deserializer or pickle.loads
        try:
            message = read(original.message)
            name, args, kwargs = message["f"], message["a"], message["k"]
        except Exception as error:  # noqa: BLE001 - whatever the application's own code raises
            why = f"The application cannot read the call any more: {type(error).__name__}: {error}."
            raise CommandRefused("error", why) from None
        if command.task_name and name != command.task_name:
            raise CommandRefused("invalid", "The sealed call is one of another job.")

        async def send() -> Any:
            retry_of.set(command.task_id)
            # Through our own hook, which reports it.
            return await pool.enqueue_job(name, *args, _queue_name=original.queue, **kwargs)

        job = self._in(loop, send())
        effect = f"Sent the original call to queue `{original.queue}` as {job.job_id}; Redis took "
        return self._done(command, f"{effect}it.", new_task_id=str(job.job_id))

    def cancel(self, command: wire.CommandBody) -> wire.CommandDone:
        """Takes a waiting job out; stops a running one only where the host allows."""
        job_id = command.task_id
        worker = self._worker_with(job_id)
        if worker is not None:
            return self._stop(command, worker)
        pool, loop = self._connection()
        found = self._in(loop, arq_redis.remove(pool, self._queues(pool, command.queue), job_id))
        if found.place == "removed":
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
            return self._done(command, "Removed the job from its queue: it will not run.")
        if found.place == "gone":
            raise CommandRefused(
                "error", "The job is in no queue that this process knows: it has ended, or expired."
            )
        return self._ask_to_stop(command, pool, loop)

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

        asked = self._in(worker.loop, stop())
        stopped = asked and _wait_until_gone(worker, job_id)
        effect = "Stopped the job." if stopped else "Asked the job to stop; it has not ended yet."
        return self._done(command, effect, verified=stopped)

    def _ask_to_stop(self, command: wire.CommandBody, pool: Any, loop: Any) -> wire.CommandDone:
        self._check_may_stop("in another worker")
        workers = list(self.workers)
        if workers and not any(worker.allow_abort_jobs for worker in workers):
            raise CommandRefused(
                "unsupported",
                "The job is running in another worker, and `allow_abort_jobs` is not set here, so "
                "arq has no way to tell it. It will go on to its end.",
            )
        from arq import constants

        now_ms = time.time_ns() // 1_000_000
        self._in(loop, pool.zadd(constants.abort_jobs_ss, {command.task_id: now_ms}))
        effect = "Asked the worker that runs the job to abort it; it does if `allow_abort_jobs` is "
        return self._done(command, f"{effect}set there.", verified=False)

    def _check_may_stop(self, where: str) -> None:
        if "terminate" not in self.agent.policy.allow:
            raise CommandRefused(
                "refused",
                f"The job is running {where}. Stopping it cancels it in the middle of its work, "
                "which this host does not allow: add `terminate` to QUEUEDECK_ALLOW there and "
                "restart the worker.",
            )

    def _worker_with(self, job_id: str) -> Any:
        return next((one for one in list(self.workers) if job_id in one.job_tasks), None)

    def _connection(self) -> tuple[Any, asyncio.AbstractEventLoop]:
        """A worker's, else the one that this process sent its last job by."""
        for worker in list(self.workers):
            if worker._pool is not None and worker.loop.is_running():
                return worker._pool, worker.loop
        pool, loop = self.pool(), self.loop
        if pool is None or loop is None or not loop.is_running():
            raise CommandRefused(
                "error", "This process has no event loop that runs, and so no connection to Redis."
            )
        return pool, loop

    def _queues(self, pool: Any, queue: str) -> "list[str]":
        known = [queue, *(str(one.queue_name) for one in list(self.workers))]
        return [one for one in dict.fromkeys([*known, str(pool.default_queue_name)]) if one]

    def _in(self, loop: asyncio.AbstractEventLoop, work: "Awaitable[Any]") -> Any:
        async def run() -> Any:
            return await work

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            return future.result(LOOP_S)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise CommandRefused(
                "unknown",
                f"The event loop of the process did not come to it in {LOOP_S:g} s. It is not "
                "known whether it was done.",
            ) from None

    def _done(
        self,
        command: wire.CommandBody,
        effect: str,
        new_task_id: str = "",
        verified: bool = True,
    ) -> wire.CommandDone:
        at_us = time.time_ns() // 1_000
        return wire.CommandDone(at_us, command.command_id, effect, new_task_id, verified)


def _wait_until_gone(worker: Any, job_id: str) -> bool:
    until = time.monotonic() + VERIFY_S
    while time.monotonic() < until:
        if job_id not in worker.job_tasks:
            return True
        time.sleep(0.05)
    return False
