# SPDX-License-Identifier: AGPL-3.0-only
"""Bytes of an agent to a message, or to the reason why the connection must close."""

import msgspec

from queuedeck_agent import wire

TOO_LARGE = 1009
NOT_BINARY = 1003
GARBAGE = 4400
REVOKED = 4401
SILENT = 4408
REPLACED = 4409
OVER_CREDIT = 4429
STOPPING = 1001
ERROR = 1011
CANNOT_STORE = 4503

_KNOWN_KINDS = frozenset({"hello", "frame", "heartbeat", "queue-snapshot", "task-catalog"})
_LANE_DIGITS = frozenset("0123456789abcdef")
_MAX_TEXT = 2_000
_MAX_ENGINES = 64
_MAX_LANES = 10_000
_MAX_QUEUES = 1_000
_MAX_TASKS = 1_000
_MAX_PARAMETERS = 100


class CloseLink(Exception):
    """Only this connection ends, with this code and reason."""

    def __init__(self, code: int, reason: str, retry_after_s: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s


def decode(data: bytes) -> wire.AgentMessage | None:
    """The message; None for a kind that a newer agent may know. Raises `CloseLink` on garbage."""
    if len(data) > wire.MAX_FRAME_BYTES:
        raise CloseLink(TOO_LARGE, f"a frame holds at most {wire.MAX_FRAME_BYTES} bytes")
    try:
        message = wire.decode_agent_message(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if _is_newer_kind(data):
            return None
        raise CloseLink(GARBAGE, f"not a message: {error}"[:120]) from error
    if isinstance(message, wire.Hello):
        _check_hello(message)
    elif isinstance(message, wire.Frame):
        _check_frame(message)
    elif isinstance(message, wire.QueueSnapshot):
        _check_snapshot(message)
    elif isinstance(message, wire.TaskCatalog):
        _check_catalog(message)
    return message


def _is_newer_kind(data: bytes) -> bool:
    try:
        outer = msgspec.msgpack.decode(data, type=list[msgspec.Raw])
        kind = msgspec.msgpack.decode(outer[0], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError):
        return False
    return kind not in _KNOWN_KINDS


def _check_hello(hello: wire.Hello) -> None:
    if not _is_hex32(hello.agent_id) or len(hello.nonce) != 16:
        raise CloseLink(GARBAGE, "a hello needs an agent id of 32 hex digits and a nonce")
    if len(hello.engines) > _MAX_ENGINES or len(hello.lanes) > _MAX_LANES:
        raise CloseLink(GARBAGE, "a hello with that many engines or lanes is not plausible")
    texts = (hello.host, hello.version, hello.python, hello.spool, *hello.warnings)
    if any(len(text) > _MAX_TEXT for text in texts):
        raise CloseLink(GARBAGE, f"a text of the hello is longer than {_MAX_TEXT} characters")
    if not all(_is_hex32(lane) for lane, _ in hello.lanes):
        raise CloseLink(GARBAGE, "a lane id has 32 hex digits")


def _check_frame(frame: wire.Frame) -> None:
    if sum(len(part.events) for part in frame.parts) > wire.MAX_FRAME_EVENTS:
        raise CloseLink(TOO_LARGE, f"a frame holds at most {wire.MAX_FRAME_EVENTS} records")


def _check_snapshot(snapshot: wire.QueueSnapshot) -> None:
    if len(snapshot.queues) > _MAX_QUEUES:
        raise CloseLink(GARBAGE, f"a snapshot holds at most {_MAX_QUEUES} queues")
    texts = (snapshot.source, snapshot.trouble, *(queue.name for queue in snapshot.queues))
    if any(len(text) > _MAX_TEXT for text in texts):
        raise CloseLink(GARBAGE, f"a text of a snapshot is longer than {_MAX_TEXT} characters")


def _check_catalog(catalog: wire.TaskCatalog) -> None:
    if len(catalog.tasks) > _MAX_TASKS:
        raise CloseLink(GARBAGE, f"a catalogue holds at most {_MAX_TASKS} tasks")
    for task in catalog.tasks:
        texts = (task.name, task.doc, task.module, task.queue, task.rate)
        if any(len(text) > _MAX_TEXT for text in texts):
            raise CloseLink(GARBAGE, f"a text of a task is longer than {_MAX_TEXT} characters")
        if len(task.parameters) > _MAX_PARAMETERS:
            raise CloseLink(GARBAGE, f"a task has at most {_MAX_PARAMETERS} parameters")


def _is_hex32(text: str) -> bool:
    return len(text) == 32 and _LANE_DIGITS.issuperset(text)
