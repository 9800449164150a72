# SPDX-License-Identifier: Apache-2.0
"""Verbs of a queue: purge, pause, resume, peek, and the dead letters."""

import time
from typing import Any

from queuedeck_agent import capture, wire
from queuedeck_agent.engines.commands import MAX_FOUND, Found, done, messages, shown
from queuedeck_agent.engines.dramatiq import rabbitmq as dramatiq_rabbitmq
from queuedeck_agent.engines.dramatiq import redis as dramatiq_redis
from queuedeck_agent.engines.dramatiq.gate import Gate
from queuedeck_agent.engines.dramatiq.run import attempt_of, eta_us, stamp_of
from queuedeck_agent.engines.dramatiq.send import SendHooks
from queuedeck_agent.errors import CommandRefused

USUAL_AMOUNT = 20
MOST_NAMED = 100_000
"""Purged messages on Redis that are read and reported one by one."""


class QueueCommands:
    """For one broker."""

    def __init__(self, sending: SendHooks, gate: Gate) -> None:
        self.sending = sending
        self.agent = sending.agent
        self.broker = sending.broker
        self.source = sending.source
        self.gate = gate

    def peek(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """The first messages that wait. They are copied, never taken."""
        queue = _named(command)
        entries = dramatiq_redis.peek(self.broker, queue, _amount(command))
        found = [self._found(one.message, _sent_us(one.message)) for one in entries]
        effect = f"Read the first {len(found)} of the list of `{queue}`; nothing was taken."
        return done(command, effect, affected=len(found), found=messages(found))

    def dead(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """The newest dead letters."""
        queue = _named(command)
        entries = dramatiq_redis.dead(self.broker, queue, _amount(command))
        found = [self._found(one.message, one.at_us) for one in entries]
        effect = f"Read the newest {len(found)} of the dead letters of `{queue}` (`.XQ`)."
        return done(command, effect, affected=len(found), found=messages(found))

    def purge(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Throws away what waits. What workers hold, what is delayed and what is dead stays."""
        queue = _named(command)
        if "client" in vars(self.broker):
            purged, named = self._purge_redis(queue)
            left = dramatiq_redis.length(self.broker, queue)
            delayed = dramatiq_redis.length(self.broker, f"{queue}.DQ")
            dead = dramatiq_redis.count_dead(self.broker, queue)
        else:
            purged, named = self._purge_rabbitmq(queue)
            left, delayed, dead = dramatiq_rabbitmq.counts(self.broker, queue)
        effect = f"Removed {purged} waiting messages from `{queue}`; {left} wait there now. Left "
        effect += f"alone: {delayed} delayed messages, {dead} dead letters, and what workers hold."
        if named < purged:
            effect += f" {purged - named} of them could not be read: they still show as queued."
        return done(command, effect, affected=purged)

    def pause(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """For all workers of this host that have the agent; they read the same file."""
        queue = _named(command)
        self._must_serve(queue)
        details = command.details
        self.agent.paused.add(self.source, queue, details.for_s, details.reason)
        is_shut = self.gate.wait_until(True, queue)
        until = f"for {details.for_s} seconds" if details.for_s > 0 else "until it is resumed"
        shared = self.agent.spool.folder is not None
        scope = (
            "Workers of this host with the agent"
            if shared
            else "Threads of only this process (its spool is in memory)"
        )
        effect = f"{scope} no longer take from `{queue}`, {until}; what runs goes on, and workers "
        effect += "without the agent still take from it. "
        if not is_shut:
            effect += "This worker has not come to it yet: it will before it takes its next one."
            return done(command, effect, verified=False)
        effect += f"{self.gate.put_back(queue)} messages that this worker had fetched and not "
        effect += "started went back to the queue; delayed ones go there when they are due."
        return done(command, effect)

    def resume(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Ends the pause of this host."""
        queue = _named(command)
        self._must_serve(queue)
        if not self.agent.paused.remove(self.source, queue):
            return done(command, f"`{queue}` was not paused on this host; nothing changed.")
        if self.gate.drained:
            return done(command, f"`{queue}` is resumed; this worker stays drained.")
        is_open = self.gate.wait_until(False, queue)
        effect = f"Workers of this host take from `{queue}` again."
        return done(command, effect, verified=is_open)

    def _purge_redis(self, queue: str) -> tuple[int, int]:
        purged = named = 0
        for count, found in dramatiq_redis.purge(self.broker, queue, MOST_NAMED):
            purged += count
            named += len(found)
            self._report(found)
        return purged, named

    def _purge_rabbitmq(self, queue: str) -> tuple[int, int]:
        try:
            purged, found = dramatiq_rabbitmq.purge(self.broker, queue)
        except dramatiq_rabbitmq.NoSuchQueue:
            raise CommandRefused("invalid", f"RabbitMQ has no queue `{queue}`.") from None
        self._report(found)
        return purged, len(found)

    def _report(self, found: "list[Any]") -> None:
        at_us = time.time_ns() // 1_000
        for message in found:
            attempt = attempt_of(message.options)
            about = (at_us, self.source, message.message_id, attempt)
            name = message.actor_name
            self.agent.recorder.emit(wire.TaskCancelled(*about, "purged", name))

    def _found(self, message: Any, at_us: int) -> Found:
        """Arguments by place are only shown where the function says which is a password."""
        name: str = message.actor_name
        known = name in self.broker.actors or not message.args
        trace = message.options.get("traceback")
        priority = message.options.get("broker_priority")
        args: dict[str, Any] = {}
        if known and self.agent.config.capture_args:
            hidden = self.sending.signatures.hidden(name)
            args["args"] = shown(message.args, message.kwargs, hidden)
        return Found(
            message.message_id,
            name,
            at_us=at_us,
            due_us=eta_us(message.options),
            attempt=attempt_of(message.options),
            priority=priority if isinstance(priority, int) else -1,
            error=capture.traceback(trace).rstrip().rpartition("\n")[2] if trace else "",
            **args,
        )

    def _must_serve(self, queue: str) -> None:
        worker = self.gate.worker
        served = [name for name in (worker.consumers if worker else ()) if not name.endswith(".DQ")]
        if queue not in served:
            names = ", ".join(f"`{name}`" for name in sorted(served)) or "nothing"
            raise CommandRefused(
                "invalid", f"This worker does not take from `{queue}`; it takes from {names}."
            )


def _named(command: wire.CommandBody) -> str:
    if not command.queue:
        raise CommandRefused("invalid", f"`{command.verb}` needs the name of a queue.")
    return command.queue.removesuffix(".DQ")


def _amount(command: wire.CommandBody) -> int:
    return min(command.details.amount, MAX_FOUND) if command.details.amount > 0 else USUAL_AMOUNT


def _sent_us(message: Any) -> int:
    """By our stamp; Dramatiq's own time is that of the first sending."""
    stamp = stamp_of(message.options)
    return int(stamp.get("d") or stamp.get("at") or message.message_timestamp * 1_000)
