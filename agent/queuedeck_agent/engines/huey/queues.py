# SPDX-License-Identifier: Apache-2.0
"""What waits in Huey's queues on Redis, by a connection of our own. A queue is a list, or a sorted
set where tasks have priorities; what is scheduled has a sorted set of its own."""

from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.huey.stamp import found_in
from queuedeck_agent.engines.redis_reader import RedisReader, number

_PREFIX_BYTES = 8
"""Before each message of a queue with priorities: when it was sent, in microseconds."""


def refusal(engine: Any) -> str:
    """Why the queues of this storage cannot be counted; or nothing."""
    storage = _storage_of(engine)
    if not hasattr(storage, "queue_key"):
        kind = type(storage).__name__ if storage is not None else "not known yet"
        return f"Huey's queues are counted on Redis; this storage is {kind}."
    return redis_reader.refusal(getattr(storage, "pool", None))


def open_reader(engine: Any) -> "Reader":
    """Nothing is opened before the first question."""
    return Reader(engine, redis_reader.open_client(_storage_of(engine).pool))


class Reader(RedisReader):
    """For all instances on one Redis."""

    def __init__(self, engine: Any, client: Any) -> None:
        super().__init__(client)
        self.engine = engine

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """One round trip; the instances of this process are read without being asked for."""
        names = tuple(dict.fromkeys([*names, *list(self.engine.hueys)]))
        asked = [self._commands(name) for name in names]
        answers = iter(self.ask([command for commands in asked for command in commands]))
        found: list[wire.QueueDepth] = []
        for name, commands in zip(names, asked, strict=True):
            waiting, scheduled, *head = [next(answers) for _ in commands]
            since = self._since(name, head[0]) if head else 0
            found.append(wire.QueueDepth(name, number(waiting), number(scheduled), oldest_us=since))
        return found

    def _commands(self, name: str) -> "list[redis_reader.Command]":
        """Size, size of the schedule, and the message that is next."""
        storage = _storage_of(self.engine, name)
        own = str(storage.clean_name(name)) if hasattr(storage, "clean_name") else name
        huey = self.engine.hueys.get(name)
        queue = huey.storage.queue_key if huey is not None else f"huey.redis.{own}"
        schedule = huey.storage.schedule_key if huey is not None else f"huey.schedule.{own}"
        ranked = bool(storage.priority)
        commands: list[redis_reader.Command] = [
            ("ZCARD" if ranked else "LLEN", queue),
            ("ZCARD", schedule),
        ]
        if self.may_look(name):
            commands.append(("ZRANGE", queue, 0, 0) if ranked else ("LINDEX", queue, -1))
        return commands

    def _since(self, name: str, head: Any) -> int:
        """Our stamp behind the pickle, which is not opened. Compression or signing hide it."""
        if isinstance(head, list):
            message = self.looked(name, head[0] if head else None)
            return int.from_bytes(message[:_PREFIX_BYTES], "big")
        stamp = found_in(self.looked(name, head))
        return stamp.at_us if stamp is not None else 0


def _storage_of(engine: Any, name: str = "") -> Any:
    """The storage of this queue, else of any instance here: they are all on one Redis."""
    huey = engine.hueys.get(name) or next(iter(list(engine.hueys.values())), None)
    return huey.storage if huey is not None else None
