# SPDX-License-Identifier: Apache-2.0
"""Verbs of a queue: a list or a stream on Redis."""

import time
from collections.abc import Mapping
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import Action, Found, done, messages, shown
from queuedeck_agent.engines.taskiq import redis as taskiq_redis
from queuedeck_agent.engines.taskiq import run as taskiq_run
from queuedeck_agent.engines.taskiq.abilities import NOT_ON_REDIS
from queuedeck_agent.engines.taskiq.commands import Choose
from queuedeck_agent.engines.taskiq.line import Line
from queuedeck_agent.errors import CommandRefused

MOST_TOLD = 100_000
"""Purged messages that are reported one by one."""
DEFAULT_AMOUNT = 20


class QueueCommands:
    """On the thread of the agent's runner."""

    def __init__(self, agent: Agent, source: str, choose: Choose) -> None:
        self.agent = agent
        self.source = source
        self.choose = choose
        self.actions: Mapping[str, Action] = {
            "purge": self.purge,
            "pause": self.pause,
            "resume": self.resume,
            "peek": self.peek,
        }

    def purge(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """A list loses its messages in steps that read and remove; a group of a stream skips what
        it has not given out."""
        queue, line = _queue_of(command), self._on_redis(command)
        count = self._purge_list(line, queue) if line.is_list else self._purge_stream(line, queue)
        first = taskiq_redis.first_of_list if line.is_list else taskiq_redis.first_of_stream
        left = len(line.run(first(line.broker, queue, taskiq_redis.CHUNK)))
        effect = f"Removed {count} waiting messages from `{queue}`."
        if not line.is_list:
            effect += " What workers had read already they still run."
        if left:
            effect += " There are messages again: they came while it was done."
        return done(command, effect, affected=count)

    def _purge_list(self, line: Line, queue: str) -> int:
        """As many as there are now, step by step; what is sent meanwhile stays."""
        count, left = 0, line.run(taskiq_redis.length_of_list(line.broker, queue))
        while left > 0:
            amount = min(taskiq_redis.CHUNK, left)
            gone = line.run(taskiq_redis.take_from_list(line.broker, queue, amount))
            self._tell_purged(line, gone, count)
            count += len(gone)
            left = left - amount if len(gone) == amount else 0
        return count

    def _purge_stream(self, line: Line, queue: str) -> int:
        count, place = 0, b""
        until = line.run(taskiq_redis.end_of_stream(line.broker, queue))
        while until:
            gone, place = line.run(taskiq_redis.take_from_stream(line.broker, queue, until, place))
            if not gone:
                break
            self._tell_purged(line, gone, count)
            count += len(gone)
        return count

    def _tell_purged(self, line: Line, gone: "list[bytes]", count: int) -> None:
        at_us = time.time_ns() // 1_000
        for data in gone[: max(0, MOST_TOLD - count)]:
            message = _read(line, data)
            if message is not None:
                about = (message.task_id, taskiq_run.attempt_of(message.labels))
                self.agent.recorder.emit(
                    wire.TaskCancelled(at_us, self.source, *about, "purged", message.task_name)
                )

    def pause(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """By the gate before a worker takes; see `gate.py`."""
        queue, details, line = _queue_of(command), command.details, self._on_redis(command)
        if line.gate is None:
            raise CommandRefused("unsupported", "This broker has a `listen` of its own.")
        self.agent.paused.add(self.source, queue, details.for_s, details.reason)
        is_still = queue not in line.queues or line.closes()
        until = f" for {details.for_s} s" if details.for_s > 0 else ""
        return done(
            command,
            f"The workers with the agent on this host take nothing from `{queue}`{until}; those "
            "without it, and on other hosts, still do. What a worker has taken already it runs."
            + ("" if is_still else " The question that waits in Redis may still bring some."),
            verified=is_still,
        )

    def resume(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The workers look four times a second."""
        queue = _queue_of(command)
        if not self.agent.paused.remove(self.source, queue):
            return done(command, f"`{queue}` was not paused on this host.")
        return done(command, f"The workers on this host take from `{queue}` again.")

    def peek(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The oldest first; messages are read by the application's own formatter."""
        queue, line = _queue_of(command), self._on_redis(command)
        amount = max(1, min(command.details.amount or DEFAULT_AMOUNT, 100))
        first = taskiq_redis.first_of_list if line.is_list else taskiq_redis.first_of_stream
        found = [_found(line, data) for data in line.run(first(line.broker, queue, amount))]
        return done(
            command,
            f"The first {len(found)} messages of `{queue}`.",
            affected=len(found),
            found=messages(found),
        )

    def _on_redis(self, command: wire.CommandBody) -> Line:
        line = self.choose(command)
        if not (line.is_list or line.is_stream):
            raise CommandRefused("unsupported", NOT_ON_REDIS)
        return line


def _found(line: Line, data: bytes) -> Found:
    message = _read(line, data)
    if message is None:
        return Found("")
    name, labels = str(message.task_name), message.labels
    args = shown(message.args, message.kwargs, line.sending.signatures.hidden(name))
    at_us = taskiq_run.stamp_of(labels).at
    return Found(message.task_id, name, args, at_us, 0, taskiq_run.attempt_of(labels))


def _read(line: Line, data: bytes) -> Any:
    try:
        return line.broker.formatter.loads(message=data)
    except Exception:  # noqa: BLE001 - a message of somebody else; taskiq could not read it either
        return None


def _queue_of(command: wire.CommandBody) -> str:
    if not command.queue:
        raise CommandRefused("invalid", "The name of the queue is missing.")
    return command.queue
