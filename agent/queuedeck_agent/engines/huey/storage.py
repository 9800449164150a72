# SPDX-License-Identifier: Apache-2.0
"""Finds messages in Huey's storages, and reads them with the instance's own serializer."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from queuedeck_agent.engines.huey import stamp as huey_stamp
from queuedeck_agent.engines.huey.stamp import Stamp
from queuedeck_agent.engines.huey.stores import Entry, FileStore, RedisStore, SqliteStore, Store

MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through for a task."""


class Waiting(NamedTuple):
    """A task's message that was found."""

    huey: Any
    store: Store
    entry: Entry
    message: Any
    """Huey's own tuple."""
    stamp: Stamp | None

    @property
    def name(self) -> str:
        return str(self.message.name)

    @property
    def attempt(self) -> int:
        return attempt_of(self.stamp)


def store_of(huey: Any) -> Store | None:
    """How messages of this instance are looked at; None for a storage that we do not know."""
    storage = huey.storage
    if hasattr(storage, "queue_key") and hasattr(storage, "schedule_key"):
        return RedisStore(storage)
    if hasattr(storage, "filename") and hasattr(storage, "sql"):
        return SqliteStore(storage)
    if hasattr(storage, "queue_path") and hasattr(storage, "lock"):
        return FileStore(storage)
    return None


def find(huey: Any, task_id: str) -> Waiting | None:
    """The message of a task that waits, or is scheduled."""
    return next(_found(huey, task_id), None)


def sees_all(huey: Any) -> bool:
    """Whether `find` looks at all that waits here."""
    storage = huey.storage
    sizes = (int(storage.queue_size()), int(storage.schedule_size()))
    return store_of(huey) is not None and max(sizes) <= MAX_LOOKED_AT


def remove(huey: Any, task_id: str) -> Waiting | None:
    """Removes exactly the message of this task; None if it was not found or cannot be removed."""
    return next((one for one in _found(huey, task_id) if one.store.take(one.entry)), None)


def read(huey: Any, data: Any) -> tuple[Any, Stamp | None] | None:
    """(message, our stamp if it has one); None for what this instance cannot read."""
    huey_stamp.passing.incoming = None
    try:
        message = huey.serializer.deserialize(bytes(data))
    except Exception:  # noqa: BLE001 - a message of somebody else
        return None
    known = hasattr(message, "id") and hasattr(message, "name")
    return (message, huey_stamp.passing.incoming) if known else None


def attempt_of(stamp: Stamp | None) -> int:
    """1 where nobody counts."""
    return stamp.attempt if stamp is not None else 1


def written(huey: Any, message: Any, stamp: Stamp | None) -> bytes:
    """The message by the instance's serializer, with our stamp if it had one."""
    huey_stamp.passing.outgoing = stamp
    try:
        return bytes(huey.serializer.serialize(message))
    finally:
        huey_stamp.passing.outgoing = None


def _found(huey: Any, task_id: str) -> Iterator[Waiting]:
    store = store_of(huey)
    if store is None:
        return
    for place in ("schedule", "queue"):
        for entry in store.entries(place, MAX_LOOKED_AT):
            if not _may_be(huey, entry.data, task_id):
                continue
            found = read(huey, entry.data)
            if found is not None and found[0].id == task_id:
                yield Waiting(huey, store, entry, *found)


def _may_be(huey: Any, data: bytes, task_id: str) -> bool:
    """Only a message that holds the id, or hides it by compression, is decoded."""
    serializer = huey.serializer
    hidden = bool(getattr(serializer, "comp", False)) or type(serializer).__module__ != (
        "huey.serializer"
    )
    return hidden or task_id.encode() in data
