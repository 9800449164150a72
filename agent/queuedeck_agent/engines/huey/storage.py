# SPDX-License-Identifier: Apache-2.0
"""Takes one waiting message out of Huey's storage, by the application's own connection."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from queuedeck_agent.engines.huey import stamp as huey_stamp

MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through; beyond it the task is only revoked."""
CHUNK = 500
_PREFIX_BYTES = 8
"""What Huey puts before each message of a Redis queue with priorities."""


class Removed(NamedTuple):
    """The message that was removed."""

    attempt: int
    name: str


def remove(huey: Any, task_id: str) -> Removed | None:
    """Removes exactly the message of this task; None if it was not found or cannot be removed."""
    storage = huey.storage
    if hasattr(storage, "queue_key") and hasattr(storage, "schedule_key"):
        return _remove_from_redis(huey, storage, task_id)
    if hasattr(storage, "filename") and hasattr(storage, "sql"):
        return _remove_from_sqlite(huey, storage, task_id)
    return None


def _remove_from_redis(huey: Any, storage: Any, task_id: str) -> Removed | None:
    ranked = bool(storage.priority)
    for entry in _chunks(storage.conn.zrange, storage.schedule_key):
        found = _is_of(huey, entry, task_id)
        if found is not None and storage.conn.zrem(storage.schedule_key, entry):
            return found
    read = storage.conn.zrange if ranked else storage.conn.lrange
    for entry in _chunks(read, storage.queue_key):
        found = _is_of(huey, entry[_PREFIX_BYTES:] if ranked else entry, task_id)
        if found is None:
            continue
        gone = (
            storage.conn.zrem(storage.queue_key, entry)
            if ranked
            else storage.conn.lrem(storage.queue_key, 1, entry)
        )
        if gone:
            return found
    return None


def _chunks(read: Any, key: str) -> Iterator[bytes]:
    for start in range(0, MAX_LOOKED_AT, CHUNK):
        entries = read(key, start, start + CHUNK - 1)
        yield from entries
        if len(entries) < CHUNK:
            return


def _remove_from_sqlite(huey: Any, storage: Any, task_id: str) -> Removed | None:
    for table in ("schedule", "task"):
        rows = storage.sql(
            f"select id, data from {table} where queue = ? order by id limit ?",  # noqa: S608
            (storage.name, MAX_LOOKED_AT),
            results=True,
        )
        for row, data in rows:
            found = _is_of(huey, bytes(data), task_id)
            if found is None:
                continue
            with storage.db(commit=True) as cursor:
                cursor.execute(f"delete from {table} where id = ? and data = ?", (row, data))  # noqa: S608
                if cursor.rowcount == 1:
                    return found
    return None


def _is_of(huey: Any, data: bytes, task_id: str) -> Removed | None:
    """Only a message that holds the id, or hides it by compression, is decoded."""
    serializer = huey.serializer
    hidden = bool(getattr(serializer, "comp", False)) or type(serializer).__module__ != (
        "huey.serializer"
    )
    if not hidden and task_id.encode() not in data:
        return None
    huey_stamp.passing.incoming = None
    try:
        message = serializer.deserialize(data)
    except Exception:  # noqa: BLE001 - a message of somebody else
        return None
    if message.id != task_id:
        return None
    stamp = huey_stamp.passing.incoming
    return Removed(stamp.attempt if stamp is not None else 1, str(message.name))
