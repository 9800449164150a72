# SPDX-License-Identifier: Apache-2.0
"""Reads and changes what waits in a Redis broker, by the application's own connection.

A queue is a list of ids and a hash of messages; delayed messages have a queue of their own (`.DQ`),
dead ones a sorted set and a hash (`.XQ`). Each change is one script, so that no worker comes in
between. The ids are Redis's own: each sending has another.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from queuedeck_agent.engines.dramatiq.run import attempt_of

MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through for a task."""
CHUNK = 500
ROOM_BYTES = 4 << 20
"""What is read in one step, and of the first messages; one more message at most."""

_TAKE_OUT = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('hdel', KEYS[2], ARGV[1])
return 1
"""
_MOVE = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('hdel', KEYS[2], ARGV[1])
redis.call('hset', KEYS[4], ARGV[1], ARGV[2])
redis.call('rpush', KEYS[3], ARGV[1])
return 1
"""
_PURGE = """
local ids = redis.call('lrange', KEYS[1], 0, ARGV[1] - 1)
if #ids == 0 then return {0} end
local found = {}
local room = tonumber(ARGV[2])
if room > 0 then
  local some = {}
  for i = 1, #ids do
    some[i] = ids[i]
    room = room - redis.call('hstrlen', KEYS[2], ids[i])
    if room < 0 then break end
  end
  ids = some
  found = redis.call('hmget', KEYS[2], unpack(ids))
end
redis.call('ltrim', KEYS[1], #ids, -1)
redis.call('hdel', KEYS[2], unpack(ids))
return {#ids, found}
"""
_REQUEUE = """
if redis.call('zrem', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('hdel', KEYS[2], ARGV[1])
redis.call('hset', KEYS[4], ARGV[2], ARGV[3])
redis.call('rpush', KEYS[3], ARGV[2])
return 1
"""


class Entry(NamedTuple):
    """A message, and where it was found."""

    queue: str
    """With `.DQ` where it is delayed."""
    redis_id: Any
    message: Any
    at_us: int = 0
    """When it was given up."""


def key(broker: Any, queue: str) -> str:
    """The list of a queue; its messages have `.msgs` behind."""
    return f"{broker.namespace}:{queue}"


def length(broker: Any, queue: str) -> int:
    """What no worker has taken."""
    return int(broker.client.llen(key(broker, queue)))


def count_dead(broker: Any, queue: str) -> int:
    """Dead letters."""
    return int(broker.client.zcard(key(broker, f"{queue}.XQ")))


def remove(broker: Any, queues: list[str], task_id: str) -> int:
    """Removes exactly the message of this task: the attempt that it would have started, or 0 when
    it was not found waiting.
    """
    for entry in _found(broker, queues, task_id):
        waiting = key(broker, entry.queue)
        if broker.client.eval(_TAKE_OUT, 2, waiting, f"{waiting}.msgs", entry.redis_id):
            return attempt_of(entry.message.options)
    return 0


def move(broker: Any, queues: list[str], task_id: str, to: str) -> str:
    """The name of the queue that a waiting message has left for the end of another; empty when it
    was not found waiting. A delayed one stays delayed."""
    for entry in _found(broker, queues, task_id):
        target = f"{to}.DQ" if entry.queue.endswith(".DQ") else to
        if target == entry.queue:
            return entry.queue
        moved = entry.message.copy(queue_name=target)
        old, new = key(broker, entry.queue), key(broker, target)
        keys = (old, f"{old}.msgs", new, f"{new}.msgs")
        if broker.client.eval(_MOVE, 4, *keys, entry.redis_id, moved.encode()):
            return entry.queue
    return ""


def peek(broker: Any, queue: str, amount: int) -> "list[Entry]":
    """The next messages of a queue, oldest first."""
    ids = broker.client.lrange(key(broker, queue), 0, amount - 1)
    return list(_read(broker, queue, f"{key(broker, queue)}.msgs", ids))


def dead(broker: Any, queue: str, amount: int) -> "list[Entry]":
    """Dead letters, newest first."""
    place = key(broker, f"{queue}.XQ")
    scores = dict(broker.client.zrevrange(place, 0, amount - 1, withscores=True))
    found = _read(broker, queue, f"{place}.msgs", list(scores))
    return [one._replace(at_us=int(scores[one.redis_id] * 1_000)) for one in found]


def find_dead(broker: Any, queues: list[str], task_ids: "set[str]") -> "list[Entry]":
    """The dead letters of these tasks."""
    return [
        entry
        for queue in dict.fromkeys(queues)
        for entry in _scan(broker, queue, f"{key(broker, f'{queue}.XQ')}.msgs", task_ids)
    ]


def requeue(broker: Any, entry: Entry, message: Any) -> bool:
    """Puts a message in place of a dead letter; False when somebody else was faster."""
    dead_key, new = key(broker, f"{entry.queue}.XQ"), key(broker, entry.queue)
    keys = (dead_key, f"{dead_key}.msgs", new, f"{new}.msgs")
    new_id = message.options["redis_message_id"]
    return bool(broker.client.eval(_REQUEUE, 4, *keys, entry.redis_id, new_id, message.encode()))


def purge(broker: Any, queue: str, limit: int) -> "Iterator[tuple[int, list[Any]]]":
    """Takes out what waits now, some hundreds in one step: (how many, the messages that could be
    read). Of those beyond `limit` only the number."""
    place = key(broker, queue)
    left = length(broker, queue)
    seen = 0
    while left > 0:
        room = ROOM_BYTES if seen < limit else 0
        answer = broker.client.eval(_PURGE, 2, place, f"{place}.msgs", min(CHUNK, left), room)
        count = int(answer[0])
        if not count:
            return
        left -= count
        seen += count
        messages = (decoded(data) for data in (answer[1] if len(answer) > 1 else ()))
        yield count, [one for one in messages if one is not None]


def whereabouts(broker: Any, queues: list[str], task_id: str) -> tuple[str, str]:
    """(state, in words) as Redis has it."""
    for entry in _found(broker, queues, task_id):
        ids = broker.client.lpos(key(broker, entry.queue), entry.redis_id)
        delayed = entry.queue.endswith(".DQ")
        state = "scheduled" if delayed else "queued"
        if ids is not None:
            return state, f"Waits in `{entry.queue}` at place {ids + 1}; no worker has taken it."
        if delayed:
            return state, "A worker holds it in memory until it is due."
        return "running", "A worker has fetched it: it runs, or is next inside that worker."
    for entry in find_dead(broker, queues, {task_id}):
        return "failed", f"A dead letter of `{entry.queue}`: it can be requeued."
    return (
        "gone",
        "Neither waiting, nor with a worker, nor a dead letter: Dramatiq forgets the rest.",
    )


def sees_all(broker: Any, queues: list[str]) -> bool:
    """Whether `whereabouts` looks at all messages of these queues."""
    places = (key(broker, f"{one}{end}.msgs") for one in queues for end in ("", ".DQ", ".XQ"))
    return all(int(broker.client.hlen(place)) <= MAX_LOOKED_AT for place in places)


def decoded(data: Any) -> Any:
    """By the application's own encoder; None for what is not one of its messages."""
    from dramatiq.message import Message

    if data is None:
        return None
    try:
        return Message.decode(_raw(data))
    except Exception:  # noqa: BLE001 - a message of somebody else
        return None


def name_of(broker: Any, queues: list[str], task_id: str) -> str:
    """The actor of a message that waits, or that a worker has fetched."""
    return next((str(one.message.actor_name) for one in _found(broker, queues, task_id)), "")


def _found(broker: Any, queues: list[str], task_id: str) -> "Iterator[Entry]":
    """Messages of a task that wait, or that a worker has fetched."""
    for queue in dict.fromkeys(queues):
        for name in (queue, f"{queue}.DQ"):
            yield from _scan(broker, name, f"{key(broker, name)}.msgs", {task_id})


def _scan(broker: Any, queue: str, place: str, task_ids: "set[str]") -> "Iterator[Entry]":
    """Only messages that hold one of the ids are decoded."""
    needles = [one.encode() for one in task_ids]
    cursor = looked_at = 0
    while looked_at < MAX_LOOKED_AT:
        cursor, chunk = broker.client.hscan(place, cursor, count=CHUNK)
        looked_at += len(chunk)
        for redis_id, data in chunk.items():
            raw = _raw(data)
            message = decoded(raw) if any(needle in raw for needle in needles) else None
            if message is not None and message.message_id in task_ids:
                yield Entry(queue, redis_id, message)
        if not cursor:
            return


def _read(broker: Any, queue: str, place: str, ids: "list[Any]") -> "Iterator[Entry]":
    """One by one, until they are too large to go on."""
    room = ROOM_BYTES
    for redis_id in ids:
        data = broker.client.hget(place, redis_id)
        message = decoded(data)
        if message is not None:
            yield Entry(queue, redis_id, message)
        room -= len(data or b"")
        if room < 0:
            return


def _raw(data: Any) -> bytes:
    return data if isinstance(data, bytes) else str(data).encode()
