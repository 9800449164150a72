# SPDX-License-Identifier: Apache-2.0
"""Our stamp on a Huey message: bytes behind the pickle, which `pickle.loads` documents to ignore.

Huey's message has neither the moment it was sent nor the attempt, and no field for either. Behind
the pickle, and inside compression and signature, a consumer without the agent does not see the
stamp. Serializers that pickle nothing, JSON ones for example, carry none.
"""

import threading
from collections.abc import Callable
from typing import Any

import msgspec

_MAGIC = b"\xf5queuedeck\x01"
_LENGTH_BYTES = 2
_ON_TASK = "_queuedeck"


class Stamp(msgspec.Struct, array_like=True):
    """Only agents read it: fields may be appended, with defaults."""

    task_id: str
    at_us: int = 0
    """When it was published; 0 if the publisher had no agent."""
    attempt: int = 1
    """The attempt that is due, or runs."""
    captured: bool = False
    """The arguments were reported already."""
    parent_id: str = ""
    root_id: str = ""
    group_id: str = ""


class Mark:
    """What we know of a task object in this process."""

    __slots__ = ("arrived", "data", "run", "stamp")

    def __init__(self, stamp: Stamp, arrived: bool) -> None:
        self.stamp = stamp
        self.arrived = arrived
        """It was read from the broker, rather than made here."""
        self.data = b""
        """The message as the broker has it."""
        self.run: Any = None
        """The execution of this task that goes on here."""


class _Passing(threading.local):
    """Between Huey's methods on tasks and its serializer's on bytes. No greenlet switches there."""

    outgoing: Stamp | None = None
    incoming: Stamp | None = None
    message: Any = None
    """What was read last, whether or not it can be made a task."""


passing = _Passing()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Stamp).decode


def mark_of(task: Any) -> Mark | None:
    """What we put on the task object; Huey does not send attributes."""
    return vars(task).get(_ON_TASK)


def put(task: Any, mark: Mark) -> None:
    """Remembers on the task object."""
    vars(task)[_ON_TASK] = mark


def writing(original: Callable[[Any, Any], bytes]) -> Callable[[Any, Any], bytes]:
    """Around `Serializer._serialize`: appends the stamp of the task that is being sent."""

    def _serialize(serializer: Any, data: Any) -> bytes:
        written = original(serializer, data)
        stamp, passing.outgoing = passing.outgoing, None
        return written if stamp is None else stamped(written, stamp)

    return _serialize


def reading(original: Callable[[Any, bytes], Any]) -> Callable[[Any, bytes], Any]:
    """Around `Serializer._deserialize`: notes the stamp, and leaves the bytes as they are."""

    def _deserialize(serializer: Any, data: bytes) -> Any:
        passing.incoming = found_in(data)
        passing.message = message = original(serializer, data)
        return message

    return _deserialize


def stamped(written: bytes, stamp: Stamp) -> bytes:
    """The message with the stamp behind it."""
    body = _encode(stamp)
    if len(body) >= 1 << (8 * _LENGTH_BYTES):
        return written
    return b"".join((written, body, len(body).to_bytes(_LENGTH_BYTES, "big"), _MAGIC))


def found_in(data: Any) -> Stamp | None:
    """The stamp of a message, None when it has none."""
    data = bytes(data) if isinstance(data, memoryview) else data
    if not isinstance(data, bytes) or not data.endswith(_MAGIC):
        return None
    end = len(data) - len(_MAGIC) - _LENGTH_BYTES
    length = int.from_bytes(data[end : end + _LENGTH_BYTES], "big")
    try:
        return _decode(data[max(end - length, 0) : end])
    except msgspec.DecodeError:
        return None
