# SPDX-License-Identifier: Apache-2.0
"""Verbs of a queue: a sorted set of job ids, the running ones too, by when they are due."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines.arq import redis as arq_redis
from queuedeck_agent.engines.arq.connection import Connection
from queuedeck_agent.engines.arq.gate import Gate
from queuedeck_agent.engines.commands import Action, Found, done, messages, shown, within
from queuedeck_agent.errors import CommandRefused

MOST_TOLD = 100_000
"""Purged jobs that are reported one by one."""
SHOWN_BYTES = 256 * 1024
"""Larger messages are listed without name and arguments."""
DEFAULT_AMOUNT = 20
VERIFY_S = 2.0


class QueueCommands:
    """On the thread of the agent's runner."""

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self.connection = connection
        self.agent = connection.agent
        self.source = connection.source
        self.gate = gate
        self.actions: Mapping[str, Action] = {
            "purge": self.purge,
            "pause": self.pause,
            "resume": self.resume,
            "peek": self.peek,
        }

    def purge(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """What is due and does not run, with its message, its tries, and any abort."""
        queue = _queue_of(command)
        until_ms = time.time_ns() // 1_000_000
        count = self._purge(queue, until_ms)
        left = self.connection.ask(lambda pool: arq_redis.due_and_free(pool, queue, until_ms))
        effect = (
            f"Removed the {count} jobs that were due in `{queue}`. Those that are deferred, or "
            "run, were left alone."
        )
        if left:
            effect += f" {left} of them are still there: they came back while it was done."
        return done(command, effect, affected=count, verified=not left)

    def _purge(self, queue: str, until_ms: int) -> int:
        """Step by step, each told before the next; until a look from the beginning finds nothing,
        since jobs end meanwhile and others move up."""
        count, skipped, found = 0, 0, False
        while True:
            taken, seen = self._purge_some(queue, until_ms, skipped)
            for one in taken[: max(0, MOST_TOLD - count)]:
                self._tell_purged(one)
            count += len(taken)
            found = found or bool(taken)
            if seen:
                skipped += seen - len(taken)
            elif found:
                skipped, found = 0, False
            else:
                return count

    def _purge_some(
        self, queue: str, until_ms: int, skipped: int
    ) -> "tuple[list[arq_redis.Taken], int]":
        return self.connection.ask(
            lambda pool: arq_redis.purge_some(pool, queue, until_ms, skipped)
        )

    def _tell_purged(self, one: arq_redis.Taken) -> None:
        name = _name_of(self.connection.reader(), one)
        about = (time.time_ns() // 1_000, self.source, one.job_id, one.attempt, "purged", name)
        self.agent.recorder.emit(wire.TaskCancelled(*about))

    def pause(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """By the gate before a worker starts what it has found; arq takes nothing before that."""
        queue, details = _queue_of(command), command.details
        self.agent.paused.add(self.source, queue, details.for_s, details.reason)
        workers = self.connection.workers_of(queue)
        stopped = within(lambda: not any(one in self.gate.taking for one in workers), VERIFY_S)
        until = f" for {details.for_s} s" if details.for_s > 0 else ""
        return done(
            command,
            f"The workers with the agent on this host take no jobs from `{queue}`{until}; those "
            "without it, and on other hosts, still do. Jobs that run go on, and cron still sends.",
            verified=stopped,
        )

    def resume(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The workers look four times a second."""
        queue = _queue_of(command)
        if not self.agent.paused.remove(self.source, queue):
            return done(command, f"`{queue}` was not paused on this host.")
        return done(command, f"The workers on this host take jobs from `{queue}` again.")

    def peek(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The first that are due; messages are read as the application's workers read them."""
        queue, amount = _queue_of(command), command.details.amount or DEFAULT_AMOUNT
        waiting = self.connection.ask(
            lambda pool: arq_redis.peek(pool, queue, max(1, min(amount, 100)), SHOWN_BYTES)
        )
        read = self.connection.reader()
        found = [self._found(read, one) for one in waiting]
        return done(
            command,
            f"The first {len(found)} jobs that are due in `{queue}`.",
            affected=len(found),
            found=messages(found),
        )

    def _found(self, read: Callable[[bytes], Any], one: arq_redis.Waiting) -> Found:
        due_us = one.score * 1_000
        try:
            message = read(one.message)
            name, at_us = str(message["f"]), int(message["et"]) * 1_000
            args = shown(message["a"], message["k"], self.connection.functions.hidden_in(name))
        except Exception:  # noqa: BLE001 - large, expired, or unreadable: its id is known still
            return Found(one.job_id, due_us=due_us, attempt=one.attempt)
        later_us = due_us if due_us > at_us else 0
        return Found(one.job_id, name, args, at_us, later_us, one.attempt)


def _name_of(read: Callable[[bytes], Any], one: arq_redis.Taken) -> str:
    try:
        return str(read(one.message)["f"]) if one.message else ""
    except Exception:  # noqa: BLE001 - whatever the application's own code raises
        return ""


def _queue_of(command: wire.CommandBody) -> str:
    if not command.queue:
        raise CommandRefused("invalid", "The name of the queue is missing.")
    return command.queue
