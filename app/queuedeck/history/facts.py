# SPDX-License-Identifier: AGPL-3.0-only
"""Facts about a task: what an event says, small enough to keep one per attempt and kind for ever.

Words (names, queues, workers ...) are references into the store's dictionary, 0 when not given.
Facts of one kind order by their fields: append fields with defaults, never reorder or retag.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar

import msgspec

from queuedeck_agent import wire


class Word(IntEnum):
    """The dictionaries of a project. The numbers are on disk."""

    NAME = 1
    QUEUE = 2
    WORKER = 3
    EXCEPTION = 4
    SCHEDULE = 5
    ORIGIN = 6
    EXCHANGE = 7
    ROUTING_KEY = 8
    RELEASE = 9
    REASON = 10
    ROUTE = 11
    MARK = 12


Intern = Callable[[Word, str], int]
"""Gives the reference of a word; 0 for the empty one."""


class Kind(IntEnum):
    """Kinds of facts by rank: in one attempt the greatest decides. The numbers are on disk."""

    CHECKED = 0
    PUBLISHED = 1
    RECEIVED = 2
    STARTED = 3
    RETRYING = 4
    LOST = 5
    CANCELLED = 6
    FAILED = 7
    SUCCEEDED = 8


INLINE_RESULT_BYTES = 128
"""A result up to this size is kept in its fact."""
INLINE_MESSAGE_CHARS = 300
"""So much of an error's message is kept in its fact; a longer one is kept apart as well."""


class Verdict(IntEnum):
    """What was concluded when the engine was asked about an attempt. The numbers are on disk."""

    UNKNOWN = 0
    WAITING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5
    LOST = 6


class TaskChecked(wire.TaskEvent, frozen=True, array_like=True, tag="task-checked"):
    """What the server concluded when it asked about a task that seemed stuck. Agents cannot send
    it. Its time is the server's."""

    verdict: int = 0
    about_us: int = 0
    """The newest start that it is about; 0 for an attempt that nobody began."""
    text: str = ""
    worker: str = ""


class Part(IntEnum):
    """What a fact may carry apart, in the payload table. The numbers are on disk."""

    ARGS = 0
    SEALED = 1
    RESULT = 0
    MESSAGE = 0
    TRACEBACK = 1


SELF = "."
"""Stands for the task's own id in `root`."""


class Fact(
    msgspec.Struct, frozen=True, array_like=True, order=True, gc=False, tag_field="kind", tag=0
):
    """The fields every fact begins with. The time comes first, so that facts order by it."""

    kind_no: ClassVar[Kind]

    at_us: int
    attempt: int
    name: int
    worker: int = 0
    queue: int = 0
    held: int = 0
    """Bit n is set when payload part n is stored."""


class Published(Fact, frozen=True, array_like=True, order=True, gc=False, tag=1):
    kind_no = Kind.PUBLISHED

    eta_us: int = 0
    expires_us: int = 0
    priority: int = -1
    schedule: int = 0
    origin: int = 0
    exchange: int = 0
    routing_key: int = 0
    parent: str = ""
    root: str = ""
    group: str = ""
    chord: str = ""
    route: int = 0
    user: str = ""


class Received(Fact, frozen=True, array_like=True, order=True, gc=False, tag=2):
    kind_no = Kind.RECEIVED

    eta_us: int = 0


class Started(Fact, frozen=True, array_like=True, order=True, gc=False, tag=3):
    kind_no = Kind.STARTED

    eta_us: int = 0
    published_us: int = 0
    release: int = 0
    redelivered: bool = False
    pid: int = 0
    parent: str = ""
    root: str = ""
    group: str = ""
    again_us: int = 0
    """The newest of its other starts, for an attempt that was delivered more than once."""


class Retrying(Fact, frozen=True, array_like=True, order=True, gc=False, tag=4):
    kind_no = Kind.RETRYING

    run_us: int = -1
    next_us: int = 0
    exception: int = 0
    message: str = ""


class Lost(Fact, frozen=True, array_like=True, order=True, gc=False, tag=5):
    kind_no = Kind.LOST

    message: str = ""


class Cancelled(Fact, frozen=True, array_like=True, order=True, gc=False, tag=6):
    kind_no = Kind.CANCELLED

    reason: int = 0


class Failed(Fact, frozen=True, array_like=True, order=True, gc=False, tag=7):
    kind_no = Kind.FAILED

    run_us: int = -1
    exception: int = 0
    reason: int = 0
    message: str = ""


class Succeeded(Fact, frozen=True, array_like=True, order=True, gc=False, tag=8):
    kind_no = Kind.SUCCEEDED

    run_us: int = -1
    result: bytes = b""


class Checked(Fact, frozen=True, array_like=True, order=True, gc=False, tag=9):
    """The newest answer about an attempt: a weak fact, which any that an agent reports replaces."""

    kind_no = Kind.CHECKED

    verdict: int = 0
    about_us: int = 0
    text: str = ""


AnyFact = (
    Published | Received | Started | Retrying | Lost | Cancelled | Failed | Succeeded | Checked
)


def fact_of(event: wire.TaskEvent, intern: Intern) -> AnyFact:
    """The fact that an event reports. Payloads are not in it, only whether they were there."""
    return _MAKERS[type(event)](event, intern)


def parts_of(event: wire.TaskEvent) -> tuple[bytes, bytes]:
    """The two payload parts of an event that its fact does not hold, empty where there is none."""
    match event:
        case wire.TaskPublished() | wire.TaskStarted():
            return event.args, event.sealed
        case wire.TaskSucceeded():
            return (event.result if _is_long_result(event) else b""), b""
        case wire.TaskFailed() | wire.TaskRetrying():
            return _long_message(event), event.traceback.encode()
        case wire.TaskLost():
            return _long_message(event), b""
        case _:
            return b"", b""


def _is_long_result(event: wire.TaskSucceeded) -> bool:
    return len(event.result) > INLINE_RESULT_BYTES


def _is_long_message(event: wire.TaskFailed | wire.TaskRetrying | wire.TaskLost) -> bool:
    return len(event.message) > INLINE_MESSAGE_CHARS


def _long_message(event: wire.TaskFailed | wire.TaskRetrying | wire.TaskLost) -> bytes:
    return event.message.encode() if _is_long_message(event) else b""


def _held(first: object, second: object) -> int:
    return (1 if first else 0) | (2 if second else 0)


def _root(event: wire.TaskPublished | wire.TaskStarted) -> str:
    return SELF if event.root_id == event.task_id else event.root_id


def _published(event: wire.TaskPublished, intern: Intern) -> Published:
    return Published(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        0,
        intern(Word.QUEUE, event.queue),
        _held(event.args, event.sealed),
        event.eta_us,
        event.expires_us,
        event.priority,
        intern(Word.SCHEDULE, event.schedule),
        intern(Word.ORIGIN, event.origin),
        intern(Word.EXCHANGE, event.exchange),
        intern(Word.ROUTING_KEY, event.routing_key),
        event.parent_id,
        _root(event),
        event.group_id,
        event.chord_id,
        intern(Word.ROUTE, event.route),
        event.user,
    )


def _received(event: wire.TaskReceived, intern: Intern) -> Received:
    return Received(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        intern(Word.QUEUE, event.queue),
        0,
        event.eta_us,
    )


def _started(event: wire.TaskStarted, intern: Intern) -> Started:
    return Started(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        intern(Word.QUEUE, event.queue),
        _held(event.args, event.sealed),
        event.eta_us,
        event.published_us,
        intern(Word.RELEASE, event.release),
        event.redelivered,
        event.pid,
        event.parent_id,
        _root(event),
        event.group_id,
    )


def _succeeded(event: wire.TaskSucceeded, intern: Intern) -> Succeeded:
    return Succeeded(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        0,
        1 if _is_long_result(event) else 0,
        event.run_us,
        b"" if _is_long_result(event) else event.result,
    )


def _failed(event: wire.TaskFailed, intern: Intern) -> Failed:
    return Failed(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        0,
        _held(_is_long_message(event), event.traceback),
        event.run_us,
        intern(Word.EXCEPTION, event.exception),
        intern(Word.REASON, event.reason),
        event.message[:INLINE_MESSAGE_CHARS],
    )


def _retrying(event: wire.TaskRetrying, intern: Intern) -> Retrying:
    return Retrying(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        0,
        _held(_is_long_message(event), event.traceback),
        event.run_us,
        event.next_us,
        intern(Word.EXCEPTION, event.exception),
        event.message[:INLINE_MESSAGE_CHARS],
    )


def _cancelled(event: wire.TaskCancelled, intern: Intern) -> Cancelled:
    return Cancelled(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        0,
        0,
        intern(Word.REASON, event.reason),
    )


def _lost(event: wire.TaskLost, intern: Intern) -> Lost:
    return Lost(
        event.at_us,
        event.attempt,
        intern(Word.NAME, event.name),
        intern(Word.WORKER, event.worker),
        0,
        1 if _is_long_message(event) else 0,
        event.message[:INLINE_MESSAGE_CHARS],
    )


def _checked(event: TaskChecked, intern: Intern) -> Checked:
    return Checked(
        event.at_us,
        event.attempt,
        0,
        intern(Word.WORKER, event.worker),
        0,
        0,
        event.verdict,
        event.about_us,
        event.text[:INLINE_MESSAGE_CHARS],
    )


_MAKERS: dict[type[wire.TaskEvent], Callable[..., AnyFact]] = {
    wire.TaskPublished: _published,
    wire.TaskReceived: _received,
    wire.TaskStarted: _started,
    wire.TaskSucceeded: _succeeded,
    wire.TaskFailed: _failed,
    wire.TaskRetrying: _retrying,
    wire.TaskCancelled: _cancelled,
    wire.TaskLost: _lost,
    TaskChecked: _checked,
}
