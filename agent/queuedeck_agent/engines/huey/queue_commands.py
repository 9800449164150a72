# SPDX-License-Identifier: Apache-2.0
"""Verbs of a queue: purge, pause, resume, peek. A queue is an instance of the application."""

import time
from collections.abc import Iterator
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import MAX_FOUND, Found, done, messages, shown
from queuedeck_agent.engines.huey import storage as huey_storage
from queuedeck_agent.engines.huey.gate import Gate
from queuedeck_agent.engines.huey.publish import PublishHooks, instant_us
from queuedeck_agent.engines.huey.stamp import Stamp
from queuedeck_agent.engines.huey.stores import CHUNK, ROOM_BYTES, Store
from queuedeck_agent.errors import CommandRefused

USUAL_AMOUNT = 20
MOST_NAMED = 100_000
"""Purged messages that are read and reported one by one."""


class QueueCommands:
    """For the instances of one storage."""

    def __init__(self, publishing: PublishHooks, hueys: "dict[str, Any]", gate: Gate) -> None:
        self.arguments = publishing.arguments
        self.agent = publishing.agent
        self.source = publishing.source
        self.hueys = hueys
        self.gate = gate
        self.consumer: Any = None

    def peek(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """The first messages that wait. They are copied, never taken."""
        huey, store = self._instance(command)
        wanted = command.details.amount
        amount = min(wanted, MAX_FOUND) if wanted > 0 else USUAL_AMOUNT
        read = [huey_storage.read(huey, data) for data in _first(store, amount)]
        found = [self._found(huey, *one) for one in read if one is not None]
        effect = f"Read the first {len(read)} messages of `{huey.name}`; nothing was taken."
        if len(found) < len(read):
            effect += f" {len(read) - len(found)} of them this application cannot read."
        return done(command, effect, affected=len(found), found=messages(found))

    def purge(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Throws away what waits now. What runs, and what is scheduled, stays."""
        huey, store = self._instance(command)
        purged = named = 0
        left = int(huey.storage.queue_size())
        while left > 0:
            removed = store.purge(min(CHUNK, left))
            if not removed:
                break
            left -= len(removed)
            purged += len(removed)
            named += self._report(huey, removed if named < MOST_NAMED else [])
        waiting, scheduled = huey.storage.queue_size(), huey.storage.schedule_size()
        effect = f"Removed {purged} waiting messages from `{huey.name}`; {waiting} wait there now. "
        effect += f"Left alone: {scheduled} scheduled ones, and what runs."
        if named < purged:
            effect += f" {purged - named} of them could not be read: they still show as queued."
        return done(command, effect, affected=purged)

    def pause(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """For all consumers of this host that have the agent; they read the same file."""
        queue = self._served(command)
        details = command.details
        self.agent.paused.add(self.source, queue, details.for_s, details.reason)
        seen = self.gate.wait_until_seen()
        shared = self.agent.spool.folder is not None
        scope = "Consumers of this host with the agent" if shared else "Threads of this consumer"
        until = f"for {details.for_s} seconds" if details.for_s > 0 else "until it is resumed"
        effect = f"{scope} no longer take from `{queue}`, {until}; what runs goes on, what is due "
        effect += "waits in the queue, and consumers without the agent still take from it."
        if not seen:
            effect += " Each worker may take one more task: this storage has no `read_timeout`."
        return done(command, effect, verified=seen)

    def resume(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Ends the pause of this host."""
        queue = self._served(command)
        if not self.agent.paused.remove(self.source, queue):
            return done(command, f"`{queue}` was not paused on this host; nothing changed.")
        effect = f"Consumers of this host take from `{queue}` again."
        if self.gate.is_drained:
            effect = f"`{queue}` is resumed; this consumer stays drained."
        return done(command, effect)

    def _report(self, huey: Any, removed: list[bytes]) -> int:
        """How many of them could be read."""
        at_us = time.time_ns() // 1_000
        found = [one for one in (huey_storage.read(huey, data) for data in removed) if one]
        for message, stamp in found:
            about = (at_us, self.source, str(message.id), huey_storage.attempt_of(stamp))
            self.agent.recorder.emit(wire.TaskCancelled(*about, "purged", str(message.name)))
        return len(found)

    def _found(self, huey: Any, message: Any, stamp: Stamp | None) -> Found:
        """Arguments by place are only shown where the function says which is a password."""
        kind = huey._registry._registry.get(message.name)
        args: dict[str, Any] = {}
        if self.arguments.wanted and (kind is not None or not message.args):
            hidden = self.arguments.hidden_of(kind) if kind is not None else ()
            args["args"] = shown(message.args, message.kwargs, hidden)
        return Found(
            str(message.id),
            str(message.name),
            at_us=stamp.at_us if stamp is not None else 0,
            due_us=instant_us(message.eta, huey.utc),
            attempt=huey_storage.attempt_of(stamp),
            priority=-1 if message.priority is None else int(message.priority),
            **args,
        )

    def _instance(self, command: wire.CommandBody) -> tuple[Any, Store]:
        huey = self.hueys.get(command.queue)
        if huey is None:
            names = ", ".join(f"`{one}`" for one in sorted(self.hueys)) or "none"
            raise CommandRefused(
                "invalid",
                f"This process has no Huey instance named `{command.queue}`; it has {names}.",
            )
        store = huey_storage.store_of(huey)
        if store is None:
            raise CommandRefused("unsupported", "The agent cannot look into this storage.")
        return huey, store

    def _served(self, command: wire.CommandBody) -> str:
        own = str(self.consumer.huey.name) if self.consumer is not None else ""
        if command.queue != own:
            raise CommandRefused(
                "invalid", f"This consumer takes from `{own}`, not from `{command.queue}`."
            )
        return own


def _first(store: Store, amount: int) -> Iterator[bytes]:
    """One by one, until they are too large to go on."""
    room = ROOM_BYTES
    for entry in store.entries("queue", amount, 1):
        yield entry.data
        room -= len(entry.data)
        if room < 0:
            return
