# SPDX-License-Identifier: Apache-2.0
"""Retry and cancel, carried out on the application's own event loop and connections."""

import asyncio
import concurrent.futures
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.engines.taskiq import call as taskiq_call
from queuedeck_agent.engines.taskiq import run as taskiq_run
from queuedeck_agent.engines.taskiq.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

T = TypeVar("T")

ANSWER_S = 10.0
"""So long the application's event loop has for one command."""
MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through; beyond it the task is only remembered."""
CHUNK = 500


class Commands:
    """What `TaskiqEngine.execute` does, on the thread of the agent's runner."""

    def __init__(self, tasks: TaskHooks) -> None:
        self.tasks = tasks
        self.agent = tasks.agent
        self.broker = tasks.sending.broker
        self.source = tasks.source
        self.loop: asyncio.AbstractEventLoop | None = None

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original call as a new task. The hooks of sending report it."""
        original = _opened(self.broker, call)
        new_id = self._on_loop(self._send(original, command))
        effect = f"Sent the original call as {new_id}; the broker took it."
        return _done(command, effect, new_id)

    def cancel(self, command: wire.CommandBody) -> wire.CommandDone:
        """Keeps a waiting task from starting."""
        task_id = command.task_id
        self.agent.cancelled.add([(self.source, task_id)])
        if task_id in self.tasks.running:
            raise CommandRefused(
                "unsupported",
                "The task is running in this worker, and taskiq cannot stop a running task. It "
                "goes on to its end. If it fails, it will not be retried.",
            )
        attempt = self._on_loop(self._remove(command)) if self._has_lists() else 0
        if not attempt:
            return _done(
                command,
                "No waiting message was found to remove: a worker may hold it already. Workers "
                "with this agent remember it and skip it before it starts.",
                verified=False,
            )
        at_us = time.time_ns() // 1_000
        self.agent.recorder.emit(
            wire.TaskCancelled(at_us, self.source, task_id, attempt, "revoked", command.task_name)
        )
        return _done(command, "Removed the message from its queue: it will not run.")

    async def _send(self, original: taskiq_call.SealedCall, command: wire.CommandBody) -> str:
        from taskiq.kicker import AsyncKicker

        args, kwargs = taskiq_call.open_body(self.broker, original)
        kicker: Any = AsyncKicker(command.task_name, self.broker, dict(original.labels))
        token = taskiq_run.retry_of.set(command.task_id)
        try:
            sent = await kicker.kiq(*args, **kwargs)
        finally:
            taskiq_run.retry_of.reset(token)
        return str(sent.task_id)

    def _has_lists(self) -> bool:
        return any(one.__name__ == "ListQueueBroker" for one in type(self.broker).__mro__)

    async def _remove(self, command: wire.CommandBody) -> int:
        """The attempt that the message would have started, or 0 when it was not found waiting."""
        from redis.asyncio import Redis

        queues = dict.fromkeys(one for one in (command.queue, self.broker.queue_name) if one)
        connection: Any = Redis(connection_pool=self.broker.connection_pool)
        async with connection as client:
            for queue in queues:
                found = await self._find(client, queue, command.task_id)
                if found is not None and await client.lrem(queue, 1, found[0]):
                    return found[1]
        return 0

    async def _find(self, client: Any, queue: str, task_id: str) -> tuple[bytes, int] | None:
        needle = task_id.encode()
        for start in range(0, MAX_LOOKED_AT, CHUNK):
            chunk: list[bytes] = await client.lrange(queue, start, start + CHUNK - 1)
            for data in chunk:
                if needle not in data:
                    continue
                message = self.broker.formatter.loads(message=data)
                if message.task_id == task_id:
                    return data, taskiq_run.attempt_of(message.labels)
            if len(chunk) < CHUNK:
                return None
        return None

    def _on_loop(self, work: "Coroutine[Any, Any, T]") -> T:
        """Connections of asyncio belong to the loop that opened them."""
        loop = self.loop
        if loop is None or not loop.is_running():
            work.close()
            raise CommandRefused(
                "error",
                "The event loop of this application is not running now, so its broker cannot be "
                "used. A worker can do it.",
            )
        answer = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return answer.result(ANSWER_S)
        except concurrent.futures.TimeoutError:
            answer.cancel()
            text = f"The application's event loop did not answer within {ANSWER_S:g} s."
            raise CommandRefused("unknown", text) from None


def _opened(broker: Any, call: bytes) -> taskiq_call.SealedCall:
    try:
        original = taskiq_call.unpack(call)
    except msgspec.DecodeError as error:
        raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
    if original.format not in (taskiq_call.PLAIN, taskiq_call.format_of(broker)):
        raise CommandRefused(
            "unsupported",
            f"The call was written by {original.format}, and this process uses another format.",
        )
    return original


def _done(
    command: wire.CommandBody, effect: str, new_task_id: str = "", verified: bool = True
) -> wire.CommandDone:
    at_us = time.time_ns() // 1_000
    return wire.CommandDone(at_us, command.command_id, effect, new_task_id, verified)
