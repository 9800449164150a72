# SPDX-License-Identifier: Apache-2.0
"""Huey's storages, message by message, over the application's own connection.

Huey's own interface can only list and flush. Every change here is one step of the storage, so that
no consumer comes in between: a script on Redis, a transaction on SQLite, the lock of files.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CHUNK = 500
ROOM_BYTES = 4 << 20
"""What is read in one step, and of the first messages; one more message at most."""
_PREFIX_BYTES = 8
"""What Huey puts before each message of a Redis queue with priorities."""

_MOVE_IN_LIST = """
if redis.call('lrem', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.call('lpush', KEYS[2], ARGV[2])
return 1
"""
_MOVE_IN_SET = """
local score = redis.call('zscore', KEYS[1], ARGV[1])
if not score then return 0 end
if ARGV[3] ~= '' then score = ARGV[3] end
redis.call('zrem', KEYS[1], ARGV[1])
redis.call('zadd', KEYS[2], score, ARGV[2])
return 1
"""
_PURGE_LIST = """
local found = {}
local room = tonumber(ARGV[2])
for i = 1, ARGV[1] do
  local one = redis.call('lindex', KEYS[1], -i)
  if not one then break end
  found[i] = one
  room = room - #one
  if room < 0 then break end
end
redis.call('ltrim', KEYS[1], 0, -#found - 1)
return found
"""
_PURGE_SET = """
local found = {}
local room = tonumber(ARGV[2])
for i = 1, ARGV[1] do
  local one = redis.call('zpopmin', KEYS[1])
  if not one[1] then break end
  found[i] = one[1]
  room = room - #one[1]
  if room < 0 then break end
end
return found
"""


class Entry(NamedTuple):
    """A message in its place."""

    place: str
    """`queue` or `schedule`."""
    key: Any
    data: bytes
    """As Huey's serializer wrote it."""


class Store:
    """One queue and its schedule."""

    ranked = False
    """It has priorities."""
    name = ""

    def __init__(self, storage: Any) -> None:
        self.storage = storage

    def entries(self, place: str, limit: int, step: int = CHUNK) -> Iterator[Entry]:
        """The message that is next comes first. `step`: so many are read at once."""
        raise NotImplementedError

    def take(self, entry: Entry) -> bool:
        """Removes exactly this; False if it is not there any more."""
        raise NotImplementedError

    def purge(self, amount: int) -> list[bytes]:
        """Removes so many of the queue, at most."""
        raise NotImplementedError

    def replace(self, entry: Entry, data: bytes, priority: int) -> bool:
        """Puts a message of another priority in place of this one."""
        raise NotImplementedError

    def move(self, entry: Entry, target: "Store", data: bytes) -> bool:
        """Puts a message into another queue of the same kind in place of this one."""
        raise NotImplementedError


class RedisStore(Store):
    """A list, or a sorted set where there are priorities; a sorted set for the schedule."""

    name = "Redis"

    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self.ranked = bool(storage.priority)

    def entries(self, place: str, limit: int, step: int = CHUNK) -> Iterator[Entry]:
        for start in range(0, limit, step):
            stop = min(start + step, limit)
            found = self._read(place, start, stop)
            for raw in found:
                prefixed = place == "queue" and self.ranked
                yield Entry(place, raw, raw[_PREFIX_BYTES:] if prefixed else raw)
            if len(found) < stop - start:
                return

    def take(self, entry: Entry) -> bool:
        if entry.place == "queue" and not self.ranked:
            return bool(self.storage.conn.lrem(self.storage.queue_key, -1, entry.key))
        return bool(self.storage.conn.zrem(self._key(entry.place), entry.key))

    def purge(self, amount: int) -> list[bytes]:
        script = _PURGE_SET if self.ranked else _PURGE_LIST
        found = self.storage.conn.eval(script, 1, self.storage.queue_key, amount, ROOM_BYTES)
        return [one[_PREFIX_BYTES:] for one in found] if self.ranked else list(found)

    def replace(self, entry: Entry, data: bytes, priority: int) -> bool:
        in_queue = entry.place == "queue"
        if in_queue and not self.ranked:
            return False
        key = self._key(entry.place)
        member = entry.key[:_PREFIX_BYTES] + data if in_queue else data
        score = str(-priority) if in_queue else ""
        return self._run(_MOVE_IN_SET, key, key, entry.key, member, score)

    def move(self, entry: Entry, target: Store, data: bytes) -> bool:
        if not isinstance(target, RedisStore) or target.ranked != self.ranked:
            return False
        keys = self._key(entry.place), target._key(entry.place)
        if entry.place == "queue" and not self.ranked:
            return self._run(_MOVE_IN_LIST, *keys, entry.key, data)
        member = entry.key[:_PREFIX_BYTES] + data if entry.place == "queue" else data
        return self._run(_MOVE_IN_SET, *keys, entry.key, member, "")

    def _read(self, place: str, start: int, stop: int) -> list[bytes]:
        if place == "queue" and not self.ranked:
            found = self.storage.conn.lrange(self.storage.queue_key, -stop, -start - 1)
            return list(found)[::-1]
        return list(self.storage.conn.zrange(self._key(place), start, stop - 1))

    def _run(self, script: str, old: Any, new: Any, *args: Any) -> bool:
        return bool(self.storage.conn.eval(script, 2, old, new, *args))

    def _key(self, place: str) -> Any:
        return self.storage.queue_key if place == "queue" else self.storage.schedule_key


class SqliteStore(Store):
    """Two tables, with the queues of all instances."""

    name = "SQLite"
    ranked = True

    def entries(self, place: str, limit: int, step: int = CHUNK) -> Iterator[Entry]:
        table, order = _TABLES[place]
        rows = self.storage.sql(
            f"select id, data from {table} where queue = ? order by {order} limit ?",  # noqa: S608
            (self.storage.name, limit),
            results=True,
        )
        for row, data in rows:
            yield Entry(place, row, bytes(data))

    def take(self, entry: Entry) -> bool:
        with self.storage.db(commit=True) as cursor:
            return self._delete(cursor, entry)

    def purge(self, amount: int) -> list[bytes]:
        name = self.storage.name
        with self.storage.db(commit=True) as cursor:
            cursor.execute(
                "select id, data from task where queue = ? order by priority desc, id limit ?",
                (name, amount),
            )
            rows = cursor.fetchall()
            cursor.executemany("delete from task where id = ?", [(row,) for row, _ in rows])
        return [bytes(data) for _, data in rows]

    def replace(self, entry: Entry, data: bytes, priority: int) -> bool:
        table, _ = _TABLES[entry.place]
        given: tuple[Any, ...] = (data, entry.key, entry.data)
        change = "data = ?"
        if entry.place == "queue":
            change, given = f"priority = ?, {change}", (priority, *given)
        with self.storage.db(commit=True) as cursor:
            cursor.execute(f"update {table} set {change} where id = ? and data = ?", given)  # noqa: S608
            return bool(cursor.rowcount == 1)

    def move(self, entry: Entry, target: Store, data: bytes) -> bool:
        table, _ = _TABLES[entry.place]
        rank = "priority" if entry.place == "queue" else "timestamp"
        with self.storage.db(commit=True) as cursor:
            cursor.execute(f"select {rank} from {table} where id = ?", (entry.key,))  # noqa: S608
            row = cursor.fetchone()
            if row is None or not self._delete(cursor, entry):
                return False
            cursor.execute(
                f"insert into {table} (queue, data, {rank}) values (?, ?, ?)",  # noqa: S608
                (target.storage.name, data, row[0]),
            )
            return True

    def _delete(self, cursor: Any, entry: Entry) -> bool:
        table, _ = _TABLES[entry.place]
        cursor.execute(
            f"delete from {table} where id = ? and data = ?",  # noqa: S608
            (entry.key, entry.data),
        )
        return bool(cursor.rowcount == 1)


_TABLES = {"queue": ("task", "priority desc, id"), "schedule": ("schedule", "timestamp, id")}


class FileStore(Store):
    """A file for each message, whose name begins with its priority. Instances on one folder share
    one queue, whatever their names are."""

    name = "files"
    ranked = True

    def entries(self, place: str, limit: int, step: int = CHUNK) -> Iterator[Entry]:
        for path in self._files(place)[:limit]:
            try:
                yield Entry(place, path, path.read_bytes())
            except FileNotFoundError:
                continue  # a consumer has it

    def take(self, entry: Entry) -> bool:
        with self.storage.lock:
            if not self._is_there(entry):
                return False
            entry.key.unlink()
            return True

    def purge(self, amount: int) -> list[bytes]:
        found: list[bytes] = []
        with self.storage.lock:
            for path in self._files("queue")[:amount]:
                found.append(path.read_bytes())
                path.unlink()
        return found

    def replace(self, entry: Entry, data: bytes, priority: int) -> bool:
        """By renaming, so that a crash neither loses the message nor doubles it."""
        with self.storage.lock:
            if not self._is_there(entry):
                return False
            place: Path = entry.key
            if entry.place == "queue":
                _, _, moment = place.name.partition("-")
                rank = self.storage.MAX_PRIORITY - priority
                new = place.with_name(f"{rank:04x}-{moment}")
                while new != place and new.exists():
                    new = new.with_name(f"{new.name}0")
                place = place.rename(new)
            written = place.with_name(f"{place.name}.{os.getpid()}.tmp")
            written.write_bytes(data)
            written.replace(place)
            return True

    def move(self, entry: Entry, target: Store, data: bytes) -> bool:
        return False

    def _files(self, place: str) -> list[Path]:
        folder = Path(self.storage.queue_path if place == "queue" else self.storage.schedule_path)
        if not folder.exists():
            return []
        return sorted(one for one in folder.iterdir() if not one.name.endswith(".tmp"))

    def _is_there(self, entry: Entry) -> bool:
        try:
            return bool(entry.key.read_bytes() == entry.data)
        except FileNotFoundError:
            return False
