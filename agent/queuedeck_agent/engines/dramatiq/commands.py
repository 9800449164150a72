# SPDX-License-Identifier: Apache-2.0
"""Retry and cancel, carried out inside the application's own process and connections."""

import time
from typing import Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.engines.dramatiq import call as dramatiq_call
from queuedeck_agent.engines.dramatiq import redis as dramatiq_redis
from queuedeck_agent.engines.dramatiq import run as dramatiq_run
from queuedeck_agent.engines.dramatiq.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

_RUNNING = (
    "The task is running in a thread of this worker. A thread cannot be stopped safely, so it "
    "goes on to its end. If it fails, it will not be retried."
)


class Commands:
    """What `DramatiqEngine.execute` does, on the thread of the agent's runner."""

    def __init__(self, tasks: TaskHooks) -> None:
        self.tasks = tasks
        self.agent = tasks.agent
        self.broker = tasks.sending.broker
        self.source = tasks.source

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original call as a new message. The hooks of sending report it."""
        original = _opened(call)
        message = _message(original)
        token = dramatiq_run.retry_of.set(command.task_id)
        try:
            sent = self.broker.enqueue(message)
        finally:
            dramatiq_run.retry_of.reset(token)
            _close_connection(self.broker)
        confirmed = _is_confirmed(self.broker)
        took = "the broker took it" if confirmed else "RabbitMQ was not asked to confirm it"
        effect = (
            f"Sent the original call to queue `{sent.queue_name}` as {sent.message_id}; {took}."
        )
        if original.linked:
            effect += " It runs alone: pipeline and group of the original are not repeated."
        return _done(command, effect, sent.message_id, confirmed)

    def cancel(self, command: wire.CommandBody) -> wire.CommandDone:
        """Keeps a waiting message from starting."""
        task_id = command.task_id
        self.agent.cancelled.add([(self.source, task_id)])
        if task_id in self.tasks.running:
            raise CommandRefused("unsupported", _RUNNING)
        attempt = dramatiq_redis.remove(self.broker, self._queues(command.queue), task_id)
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

    def _queues(self, queue: str) -> list[str]:
        known = sorted(self.broker.get_declared_queues())
        return [queue, *known] if queue else known


def _opened(call: bytes) -> dramatiq_call.SealedCall:
    try:
        original = dramatiq_call.unpack(call)
    except msgspec.DecodeError as error:
        raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
    if not dramatiq_call.is_own_encoding(original):
        raise CommandRefused(
            "unsupported",
            f"The call was encoded by {original.encoder}, and this process uses another encoder.",
        )
    return original


def _message(original: dramatiq_call.SealedCall) -> Any:
    """A new message, with an id and a time of its own."""
    from dramatiq.message import Message

    fields = dramatiq_call.get_encoder().decode(original.body)
    return Message(
        queue_name=fields["queue_name"],
        actor_name=fields["actor_name"],
        args=tuple(fields["args"]),
        kwargs=fields["kwargs"],
        options=fields["options"],
    )


def _is_confirmed(broker: Any) -> bool:
    """Redis answers every command; RabbitMQ only where the application asks it to."""
    return bool(vars(broker).get("confirm_delivery", "client" in vars(broker)))


def _close_connection(broker: Any) -> None:
    """RabbitMQ connections belong to a thread: this one's is not left open."""
    if "confirm_delivery" in vars(broker):
        del broker.connection


def _done(
    command: wire.CommandBody, effect: str, new_task_id: str = "", verified: bool = True
) -> wire.CommandDone:
    at_us = time.time_ns() // 1_000
    return wire.CommandDone(at_us, command.command_id, effect, new_task_id, verified)
