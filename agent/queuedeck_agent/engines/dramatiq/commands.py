# SPDX-License-Identifier: Apache-2.0
"""Verbs of a task and of a name, carried out inside the application's own process and connections.

What is sent goes through the broker's `enqueue`, so that the hooks of sending report it.
"""

import difflib
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from queuedeck_agent import edit as edited
from queuedeck_agent import wire
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.commands import done, reconciled
from queuedeck_agent.engines.dramatiq import call as dramatiq_call
from queuedeck_agent.engines.dramatiq import redis as dramatiq_redis
from queuedeck_agent.engines.dramatiq import run as dramatiq_run
from queuedeck_agent.engines.dramatiq.rabbitmq import close_connection
from queuedeck_agent.engines.dramatiq.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

_RUNNING = (
    "The task is running in a thread of this worker. A thread cannot be stopped safely, so it "
    "goes on to its end. If it fails, it will not be retried."
)
_OF_OLD_RUNS = ("retries", "traceback", "requeue_timestamp", "eta")
"""Options of a dead letter that a new beginning does not have."""


class Commands:
    """For one broker, on the thread of the agent's runner."""

    def __init__(self, tasks: TaskHooks) -> None:
        self.tasks = tasks
        self.agent = tasks.agent
        self.broker = tasks.sending.broker
        self.source = tasks.source

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original call as a new message."""
        original = _opened(call)
        return self._sent(command, _message(original), "the original call", original.linked)

    def edit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the call with what was changed; without the original only whole values count."""
        name, details = command.task_name, command.details
        if not call:
            return self._sent(command, self._new(command), "what was entered")
        original = _opened(call)
        message = _message(original)
        hidden = self.tasks.sending.signatures.hidden(name)
        new = edited.merged(details.args, message.args, message.kwargs, hidden)
        message = message.copy(args=tuple(new.args), kwargs=new.kwargs)
        return self._sent(
            command, self._placed(message, command), "the edited call", original.linked
        )

    def submit(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Sends a message of an actor that this process knows."""
        return self._sent(command, self._new(command), "what was entered")

    def cancel(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Keeps a waiting message from starting."""
        task_id = command.task_id
        self.agent.cancelled.add([(self.source, task_id)])
        if task_id in self.tasks.running:
            raise CommandRefused("unsupported", _RUNNING)
        attempt = 0
        if self._is_redis:
            attempt = dramatiq_redis.remove(self.broker, self._queues(command.queue), task_id)
        if not attempt:
            return done(
                command,
                "No waiting message was found to remove: a worker may hold it already. Workers "
                "with this agent remember it and skip it before it starts.",
                verified=False,
            )
        at_us = time.time_ns() // 1_000
        self.agent.recorder.emit(
            wire.TaskCancelled(at_us, self.source, task_id, attempt, "revoked", command.task_name)
        )
        return done(command, "Removed the message from its queue: it will not run.")

    def name_of(self, command: wire.CommandBody) -> str:
        """By what runs here, else by a message in Redis. RabbitMQ lets nobody look for one."""
        run = self.tasks.running.get(command.task_id)
        if run is not None or not self._is_redis:
            return run.name if run is not None else ""
        queues = self._queues(command.queue)
        return dramatiq_redis.name_of(self.broker, queues, command.task_id)

    def move(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Takes a waiting message into another queue."""
        to, task_id = command.details.queue, command.task_id
        self._must_declare(to)
        old = dramatiq_redis.move(self.broker, self._queues(command.queue), task_id, to)
        if not old:
            raise CommandRefused(
                "invalid", "No waiting message was found: a worker may hold it already. It stays."
            )
        if old.removesuffix(".DQ") == to:
            return done(command, f"The message was in `{to}` already; nothing changed.")
        effect = f"Moved the message from `{old}` to the end of `{to}`, with its id."
        return done(command, effect, affected=1)

    def requeue(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Puts dead letters back, as if they were sent now for the first time."""
        wanted = set(command.details.ids or (command.task_id,)) - {""}
        entries = dramatiq_redis.find_dead(self.broker, self._queues(command.queue), wanted)
        for entry in entries:
            self.agent.policy.check_task(entry.message.actor_name)
            if (self.source, entry.message.message_id) in self.agent.cancelled:
                raise CommandRefused("invalid", "It was cancelled here: workers would skip it.")
        sent = [entry for entry in entries if self._requeued(entry)]
        if not sent:
            raise CommandRefused(
                "invalid", "Not among the dead letters: requeued already, or older than 7 days."
            )
        places = ", ".join(sorted({f"`{entry.queue}`" for entry in sent}))
        effect = f"Put {len(sent)} of {len(wanted)} dead letters back to the end of {places}, with "
        effect += "their own ids and their retries counted anew."
        return done(command, effect, affected=len(sent))

    def reconcile(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """What Redis and this process know of the task now. Changes nothing."""
        if command.details.tasks:
            return reconcile.one_by_one(self.agent, command, self._whereabouts)
        state, where = self._whereabouts(command)
        return done(command, where, found=reconciled(reconcile.shown(state), where))

    def _whereabouts(self, command: wire.CommandBody) -> tuple[str, str]:
        if command.task_id in self.tasks.running:
            return "running", f"Runs in a thread of {self.tasks.worker}."
        queues = self._queues(command.queue)
        state, where = dramatiq_redis.whereabouts(self.broker, queues, command.task_id)
        if state == "gone" and not dramatiq_redis.sees_all(self.broker, queues):
            return reconcile.UNKNOWN, "More waits than is looked through."
        return state, where

    @property
    def _is_redis(self) -> bool:
        return "client" in vars(self.broker)

    def _new(self, command: wire.CommandBody) -> Any:
        """A message of the actor, as its own `send` makes it."""
        actor = self.broker.actors.get(command.task_name)
        if actor is None:
            near = difflib.get_close_matches(command.task_name, list(self.broker.actors), 3, 0.5)
            known = ", ".join(f"`{one}`" for one in near or sorted(self.broker.actors)[:3])
            raise CommandRefused(
                "invalid",
                f"This application has no actor `{command.task_name}`; it has {known or 'none'}.",
            )
        new = edited.entered(command.details.args)
        message = actor.message_with_options(args=tuple(new.args), kwargs=new.kwargs)
        return self._placed(message, command)

    def _placed(self, message: Any, command: wire.CommandBody) -> Any:
        """With the queue and the priority that the command names."""
        details = command.details
        options: dict[str, Any] = {}
        if details.priority >= 0:
            most = getattr(self.broker, "max_priority", None) if not self._is_redis else None
            if not most or details.priority > most:
                raise CommandRefused(
                    "unsupported",
                    f"Priorities of messages here go from 0 to {most}."
                    if most
                    else "This broker has no priorities of messages.",
                )
            options["broker_priority"] = details.priority
        if details.queue:
            self._must_declare(details.queue)
        return message.copy(queue_name=details.queue or message.queue_name, options=options)

    def _sent(
        self, command: wire.CommandBody, message: Any, what: str, linked: bool = False
    ) -> wire.CommandDone:
        delay = command.details.delay_s * 1_000 if command.details.delay_s > 0 else None
        sent = self._enqueued(command, lambda: self.broker.enqueue(message, delay=delay))
        confirmed = bool(vars(self.broker).get("confirm_delivery", self._is_redis))
        took = "the broker took it" if confirmed else "RabbitMQ was not asked to confirm it"
        effect = f"Sent {what} to queue `{sent.queue_name}` as {sent.message_id}; {took}."
        if linked:
            effect += " It runs alone: pipeline and group of the original are not repeated."
        return done(command, effect, sent.message_id, verified=confirmed)

    def _enqueued(self, command: wire.CommandBody, send: Callable[[], Any]) -> Any:
        token = dramatiq_run.retry_of.set(command.task_id)
        try:
            return send()
        finally:
            dramatiq_run.retry_of.reset(token)
            close_connection(self.broker)

    def _requeued(self, entry: dramatiq_redis.Entry) -> bool:
        options = {k: one for k, one in entry.message.options.items() if k not in _OF_OLD_RUNS}
        options["redis_message_id"] = str(uuid.uuid4())
        now_ms = time.time_ns() // 1_000_000
        message = entry.message.copy(queue_name=entry.queue, message_timestamp=now_ms)
        message.options.clear()
        message.options.update(options)
        self.tasks.sending.before(message)
        if not dramatiq_redis.requeue(self.broker, entry, message):
            return False
        self.tasks.sending.after(message)
        return True

    def _must_declare(self, queue: str) -> None:
        declared = sorted(self.broker.get_declared_queues())
        if queue not in declared:
            names = ", ".join(f"`{name}`" for name in declared[:20]) or "none"
            raise CommandRefused(
                "invalid", f"This application declares no queue `{queue}`; it declares {names}."
            )

    def _queues(self, queue: str) -> list[str]:
        known = sorted(self.broker.get_declared_queues())
        return [queue.removesuffix(".DQ"), *known] if queue else known


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
