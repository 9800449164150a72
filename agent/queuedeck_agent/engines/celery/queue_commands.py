# SPDX-License-Identifier: Apache-2.0
"""Purge, peek, pause and resume: what is asked about a queue."""

import time
from typing import Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery import redis as celery_redis
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.broker import length, purge
from queuedeck_agent.engines.celery.gate import Gate
from queuedeck_agent.engines.celery.publish import STAMP, instant_us
from queuedeck_agent.engines.celery.queues import kind_of
from queuedeck_agent.engines.celery.redis import MAX_PURGED_BY_NAME, Lists, lists_of
from queuedeck_agent.engines.commands import MAX_FOUND, Found, done, messages, within
from queuedeck_agent.errors import CommandRefused

PEEKED = 20
VERIFY_S = 5.0
POLL_S = 1.2
"""On Redis a worker waits in a BRPOP of one second, which may name the queue still."""
_HELD_BY_WORKERS = "What workers have taken already, tasks for later among it, is not touched."


class QueueCommands:
    """What is done to a queue, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, arguments: Arguments, gate: Gate | None) -> None:
        self.agent = agent
        self.app = arguments.app
        self.source = arguments.source
        self.arguments = arguments
        self.gate = gate

    def purge(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Every message that waits; never one that a worker has."""
        _named(command)
        with lists_of(self.app) as lists:
            if lists is not None:
                return self._purge_lists(command, lists)
        return self._purge_at_broker(command)

    def peek(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The messages that are taken next. They stay where they are."""
        _named(command)
        amount = min(command.details.amount or PEEKED, MAX_FOUND)
        with lists_of(self.app) as lists:
            if lists is None:
                raise CommandRefused("unsupported", "Messages can be looked at on Redis only.")
            found = [self._found(one) for one in lists.first(command.queue, amount)]
            waiting = lists.length(command.queue)
        effect = f"{waiting} wait in `{command.queue}`; these are taken next. All were left there."
        return done(command, effect, affected=0, found=messages(found))

    def pause(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The workers of this host that have the agent stop taking; what runs goes on."""
        queue, details = _named(command), command.details
        self.agent.paused.add(self.source, queue, details.for_s, details.reason)
        if self.gate is None:
            return done(
                command,
                f"Workers with the agent on this host stop taking from `{queue}` within a second; "
                "this process is none itself.",
                verified=False,
            )
        gate = self.gate
        served = queue in gate.open | gate.held
        gate.look_now()
        stopped = within(lambda: queue not in gate.open, VERIFY_S)
        if stopped and served and kind_of(self.app) == "redis":
            time.sleep(POLL_S)
        until = f" for {details.for_s} s" if details.for_s else " until it is resumed"
        if not served:
            effect = f"This worker does not serve `{queue}`; those of this host that do stop"
        elif stopped:
            effect = f"This worker no longer takes from `{queue}`"
        else:
            effect = f"This worker was told to stop taking from `{queue}`, and has not yet"
        return done(
            command,
            f"{effect}{until}, over a restart too. What it has taken already still runs; workers "
            "without the agent, and on hosts that were not asked, go on.",
            verified=stopped,
        )

    def resume(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Takes a pause away."""
        queue = _named(command)
        was_paused = self.agent.paused.remove(self.source, queue)
        gate = self.gate
        if gate is not None:
            gate.look_now()
        if not was_paused:
            return done(command, f"`{queue}` was not paused on this host. Nothing was changed.")
        if gate is None:
            effect = f"Workers with the agent on this host take from `{queue}` again."
            return done(command, effect, verified=False)
        if gate.drained:
            effect = f"`{queue}` is not paused any more; this worker is drained and takes nothing."
            return done(command, effect)
        again = within(lambda: queue not in gate.held, VERIFY_S)
        return done(command, f"This worker takes from `{queue}` again.", verified=again)

    def _purge_lists(self, command: wire.CommandBody, lists: Lists) -> wire.CommandDone:
        queue = command.queue
        removed = lists.purge(queue, self._tell_purged)
        left = lists.length(queue)
        effect = f"Removed {removed} messages from `{queue}`; {left} wait there now. "
        if removed > MAX_PURGED_BY_NAME:
            effect += f"The ids of the first {MAX_PURGED_BY_NAME:,} were told. "
        return done(command, effect + _HELD_BY_WORKERS, affected=removed)

    def _purge_at_broker(self, command: wire.CommandBody) -> wire.CommandDone:
        queue = command.queue
        removed = purge(self.app, queue)
        if removed < 0:
            raise CommandRefused("invalid", f"The broker has no queue `{queue}`.")
        left = length(self.app, queue)
        return done(
            command,
            f"RabbitMQ removed {removed} messages from `{queue}`; {left} wait there now. It does "
            "not say which: their tasks stay as they were here until they are reconciled. "
            + _HELD_BY_WORKERS,
            affected=removed,
        )

    def _tell_purged(self, gone: list[bytes]) -> None:
        at_us = time.time_ns() // 1_000
        for message in gone:
            task_id, name, attempt, _headers, _properties = celery_redis.read(message)
            if task_id and not name.startswith("celery."):
                self.agent.recorder.emit(
                    wire.TaskCancelled(at_us, self.source, task_id, attempt, "purged", name)
                )

    def _found(self, message: bytes) -> Found:
        one = celery_redis.read(message)
        stamp: Any = one.headers.get(STAMP)
        priority = one.properties.get("priority")
        return Found(
            one.task_id,
            one.name,
            msgspec.Raw(self._arguments(one, message)),
            at_us=int(stamp.get("at") or 0) if isinstance(stamp, dict) else 0,
            due_us=instant_us(one.headers.get("eta")),
            attempt=one.attempt,
            priority=priority if isinstance(priority, int) else -1,
        )

    def _arguments(self, one: celery_redis.Waiting, message: bytes) -> bytes:
        """Redacted. A body that is not JSON stays closed: the texts in its headers stand for it.
        Nothing of a task that is not known here: its parameters' names would hide its secrets."""
        if self.arguments.app.tasks.get(one.name) is None:
            return b"null"
        content_type, _encoding, body = celery_redis.body_of(message)
        try:
            args, kwargs, *_ = msgspec.json.decode(body) if "json" in content_type else ((), {})
        except (msgspec.DecodeError, ValueError, TypeError):
            args, kwargs, content_type = (), {}, ""
        known = "json" in content_type
        return self.arguments.look(one.name, args, kwargs, one.headers, known)


def _named(command: wire.CommandBody) -> str:
    if not command.queue:
        raise CommandRefused("invalid", "Name the queue.")
    return command.queue
