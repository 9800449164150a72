# SPDX-License-Identifier: Apache-2.0
"""The waiting messages of a Redis broker: a list for each queue and step of priority, the next one
at its right end. Looks at them, removes and moves them; bodies stay as they are.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import msgspec

from queuedeck_agent.engines.celery.queues import kind_of, own_connection

MAX_LOOKED_AT = 20_000
"""Messages of one list that are looked through for one task."""
CHUNK = 500
MAX_PURGED_BY_NAME = 100_000
"""Beyond it a purge counts what it removes and reads no ids."""
MAX_PEEKED_BYTES = 8 << 20

_REPLACE = """
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1
"""
"""A worker that takes the message in between makes the first step fail: never lost, never twice."""


class _Envelope(msgspec.Struct):
    headers: dict[str, Any] = {}
    properties: dict[str, Any] = {}


_envelope = msgspec.json.Decoder(_Envelope).decode
_entry = msgspec.json.Decoder(list[msgspec.Raw]).decode
_whole = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Waiting(NamedTuple):
    """One message, as far as it can be told without its body."""

    task_id: str
    name: str
    attempt: int
    headers: dict[str, Any]
    properties: dict[str, Any]


class Place(NamedTuple):
    """Where a message waits."""

    queue: str
    key: str
    message: bytes
    waiting: Waiting


@contextlib.contextmanager
def lists_of(app: Any) -> "Generator[Lists | None]":
    """The lists of the application's broker, over a connection of our own; None if that is not
    Redis."""
    if kind_of(app) != "redis":
        yield None
        return
    with own_connection(app) as connection:
        yield Lists(connection.channel())


class Lists:
    """Kombu names the keys: prefix, separator and steps are settings of the application."""

    def __init__(self, channel: Any) -> None:
        import redis

        self._channel = channel
        self._prefix: str = getattr(channel, "global_keyprefix", "") or ""
        # Not the channel's own client, which adds the prefix to some commands and not to others.
        self._client: Any = redis.Redis(connection_pool=channel.pool)

    def keys(self, queue: str) -> list[str]:
        """The lists of a queue, in the order in which workers empty them."""
        return [self.key(queue, step) for step in self._channel.priority_steps]

    def key(self, queue: str, priority: int) -> str:
        """The list of a priority: kombu rounds down to its steps."""
        return self._prefix + str(self._channel._q_for_pri(queue, priority))

    def length(self, queue: str) -> int:
        """Messages that wait in all lists of a queue."""
        return sum(int(self._client.llen(key)) for key in self.keys(queue))

    def exists(self, queue: str) -> bool:
        """Whether anybody has declared the queue; an empty list is no key in Redis."""
        bound = f"{self._prefix}_kombu.binding.{queue}"
        return bool(self._client.exists(bound, *self.keys(queue)))

    def find(self, queues: list[str], task_id: str) -> Place | None:
        """The message of this task."""
        needle = task_id.encode()
        for queue in dict.fromkeys(queues):
            for key in self.keys(queue):
                for message in self._from_the_left(key):
                    if needle in message and (found := read(message)).task_id == task_id:
                        return Place(queue, key, message, found)
        return None

    def find_all(self, queues: list[str], task_ids: set[str]) -> dict[str, str]:
        """Task id -> queue, of those whose message waits."""
        found: dict[str, str] = {}
        needles = [one.encode() for one in task_ids]
        for queue in queues:
            for key in self.keys(queue):
                for message in self._from_the_left(key):
                    if any(needle in message for needle in needles):
                        task_id = read(message).task_id
                        if task_id in task_ids:
                            found[task_id] = queue
        return found

    def unacked(self, task_ids: set[str]) -> set[str]:
        """Those that some worker has taken and not acknowledged: kombu keeps these messages, and
        gives them out again when their time is over."""
        key = self._prefix + str(self._channel.unacked_key)
        needles = [one.encode() for one in task_ids]
        found: set[str] = set()
        cursor = looked_at = 0
        while looked_at < MAX_LOOKED_AT:
            cursor, chunk = self._client.hscan(key, cursor, count=CHUNK)
            looked_at += len(chunk)
            for data in chunk.values():
                if any(needle in data for needle in needles):
                    found |= {one for one in task_ids if one == _unacked_id(data)}
            if not cursor:
                break
        return found

    @property
    def visibility_s(self) -> int:
        """How long kombu waits for an acknowledgement."""
        return int(self._channel.visibility_timeout)

    def are_long(self, queues: list[str]) -> bool:
        """Whether not all of what waits, or is held, is looked through."""
        held = self._client.hlen(self._prefix + str(self._channel.unacked_key))
        lengths = (self._client.llen(key) for queue in queues for key in self.keys(queue))
        return max(int(held), *map(int, lengths), 0) > MAX_LOOKED_AT

    def remove(self, place: Place) -> bool:
        """False: somebody has taken it by now."""
        return bool(self._client.lrem(place.key, -1, place.message))

    def replace(self, place: Place, key: str, change: Callable[[dict[str, Any]], None]) -> bool:
        """Moves the message to a list, with changed properties, in one step. False: somebody has
        taken it by now."""
        whole = _whole(place.message)
        change(whole.setdefault("properties", {}))
        keys = (place.key, key)
        return bool(self._client.eval(_REPLACE, 2, *keys, place.message, _encode(whole)))

    def first(self, queue: str, amount: int) -> list[bytes]:
        """The messages that are taken next; fewer when they are large."""
        found: list[bytes] = []
        room = MAX_PEEKED_BYTES
        for key in self.keys(queue):
            for place in range(1, amount - len(found) + 1):
                message: bytes | None = self._client.lindex(key, -place)
                if message is None:
                    break
                room -= len(message)
                found.append(message)
                if room < 0:
                    return found
        return found

    def purge(self, queue: str, removed: Callable[[list[bytes]], None]) -> int:
        """Removes what waits, and says how many there were. `removed` is told each message, up to
        a limit: read and removed in one step, so that no worker has one of them too."""
        count = 0
        for key in self.keys(queue):
            left = int(self._client.llen(key))
            while left > 0 and count < MAX_PURGED_BY_NAME:
                gone = self._cut(key, min(CHUNK, left, MAX_PURGED_BY_NAME - count))
                removed(gone)
                count += len(gone)
                left = left - len(gone) if gone else 0
            if left > 0:
                count += self._drop(key)
        return count

    def _cut(self, key: str, amount: int) -> list[bytes]:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.lrange(key, -amount, -1)
            pipe.ltrim(key, 0, -amount - 1)
            found: list[bytes] = pipe.execute()[0]
        return found[::-1]

    def _drop(self, key: str) -> int:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.llen(key)
            pipe.delete(key)
            return int(pipe.execute()[0])

    def _from_the_left(self, key: str) -> Iterator[bytes]:
        """What is added meanwhile pushes them towards us: one may come twice, none is missed."""
        for start in range(0, MAX_LOOKED_AT, CHUNK):
            messages: list[bytes] = self._client.lrange(key, start, start + CHUNK - 1)
            yield from messages
            if len(messages) < CHUNK:
                return


def read(message: "bytes | msgspec.Raw") -> Waiting:
    """What the message's headers say; empty texts for one that is not Celery's."""
    try:
        found = _envelope(message)
    except msgspec.DecodeError:
        return Waiting("", "", 0, {}, {})
    headers, properties = found.headers, found.properties
    task_id = headers.get("id") or properties.get("correlation_id") or ""
    attempt = int(headers.get("retries") or 0) + 1
    return Waiting(str(task_id), str(headers.get("task") or ""), attempt, headers, properties)


def _unacked_id(data: bytes) -> str:
    """The task of an entry of kombu's: `[message, exchange, routing key]`."""
    try:
        return read(_entry(data)[0]).task_id
    except (msgspec.DecodeError, IndexError):
        return ""


def body_of(message: bytes) -> tuple[str, str, bytes]:
    """(content type, encoding, body) as the sender serialised it."""
    import base64

    whole = _whole(message)
    body = whole.get("body") or ""
    encoded = (whole.get("properties") or {}).get("body_encoding") == "base64"
    data = base64.b64decode(body) if encoded else str(body).encode()
    return str(whole.get("content-type") or ""), str(whole.get("content-encoding") or ""), data
