# SPDX-License-Identifier: AGPL-3.0-only
"""Parts of lanes as agents send them, made into batches. Each record is judged by itself. Pure.

What cannot be understood or stored becomes `Poison`, so that one bad record never holds up a lane.
"""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import cast

import msgspec

from queuedeck.errors import Invalid
from queuedeck.history.batches import Batch, Poison
from queuedeck.history.labels import Labels
from queuedeck_agent import wire

MAX_NUMBER = 1 << 60
"""Beyond this, times, durations and record numbers are nonsense."""
MAX_ATTEMPT = 1_000_000
MAX_CHARS = 1024
"""Of names and ids."""
MAX_TEXT_CHARS = 64 * 1024
"""Of messages and tracebacks; agents cut much earlier."""

MAX_EXTRA_BYTES = 64 * 1024
"""Of a record with tags or log lines."""

_LANE = re.compile(r"[0-9a-f]{32}")
_TEXTS = frozenset({"message", "traceback", "effect", "name"})
_REQUIRED = frozenset({"source", "task_id", "engine", "command_id"})


def batch_of(
    project_id: int, agent_id: str, part: wire.LanePart, labels: Labels | None = None
) -> Batch:
    """Decode a part, to be labelled by these rules. Raises `Invalid` if it is no part of a lane."""
    if not _LANE.fullmatch(part.lane):
        raise Invalid(f"A lane is named by 32 hexadecimal digits, not {part.lane[:40]!r}.")
    events = [_event(raw) for raw in part.events]
    more = sum([_numbers(event) - 1 for event in events if isinstance(event, _STAND_FOR_MORE)])
    first = part.last + 1 - len(events) - more
    if first < 1 or part.last > MAX_NUMBER:
        raise Invalid(
            f"The part of lane {part.lane} says that its last number is {part.last}, which does "
            f"not fit its {len(events)} records."
        )
    return Batch(project_id, part.lane, agent_id, first, part.last, events, labels)


_STAND_FOR_MORE = (wire.Loss, Poison)


def _numbers(event: wire.Loss | Poison) -> int:
    return event.count if isinstance(event, wire.Loss) else event.numbers


def _event(raw: msgspec.Raw) -> wire.AnyEvent | Poison:
    try:
        event = wire.decode_event(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Poison(bytes(raw), str(error)[:500], _lost_numbers(raw))
    problem = "" if _is_plain(event, len(raw)) else _problem(event, len(raw))
    if not problem:
        return event
    return Poison(bytes(raw), problem, _lost_numbers(raw))


def _is_plain(event: wire.AnyEvent, size: int) -> bool:
    """Whether nothing can be wrong with it, seen from afar: true for nearly all. In a record of
    this size no text is too long, and of the numbers only the least and the greatest matter.
    """
    if size > MAX_CHARS or not isinstance(event, wire.TaskEvent):
        return False
    numbers = _NUMBERS[type(event)](event)
    return (
        min(numbers) >= -1
        and max(numbers) <= MAX_NUMBER
        and 1 <= event.attempt <= MAX_ATTEMPT
        and event.at_us >= 0
        and event.source != ""
        and event.task_id != ""
    )


def _problem(event: wire.AnyEvent, size: int) -> str:
    """Why an event that could be read cannot be stored; empty when it can."""
    numbers, texts = _FIELDS[type(event)]
    for field in numbers:
        if not -1 <= getattr(event, field) <= MAX_NUMBER:
            return f"{field} is out of range"
    for field, longest, required in texts:
        length = len(getattr(event, field))
        if length > longest:
            return f"{field} has {length} characters, more than {longest}"
        if required and not length:
            return f"{field} is empty"
    if isinstance(event, wire.TaskEvent) and not 1 <= event.attempt <= MAX_ATTEMPT:
        return "attempt is out of range"
    if isinstance(event, wire.Loss) and event.count < 1:
        return "count is out of range"
    if isinstance(event, wire.TaskTagged | wire.TaskLogged) and size > MAX_EXTRA_BYTES:
        return f"it has {size} bytes, more than {MAX_EXTRA_BYTES}"
    return "at_us is negative" if event.at_us < 0 else ""


def _lost_numbers(raw: msgspec.Raw) -> int:
    """A spoilt `Loss` still stands for its count, or the numbers of its lane would not fit."""
    try:
        items = msgspec.msgpack.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 1
    match items:
        case ["loss", _, int(count), *_] if 1 <= count <= MAX_NUMBER:
            return count
        case _:
            return 1


def _fields(kind: type[wire.Event]) -> tuple[list[str], list[tuple[str, int, bool]]]:
    """The number fields and the text fields of a kind, with what is asked of them."""
    fields = msgspec.structs.fields(kind)
    numbers = [field.name for field in fields if field.type is int]
    texts = [field.name for field in fields if field.type is str]
    return numbers, [
        (name, MAX_TEXT_CHARS if name in _TEXTS else MAX_CHARS, name in _REQUIRED) for name in texts
    ]


_KINDS = cast("tuple[type[wire.Event], ...]", wire.AnyEvent.__args__)
_FIELDS = {kind: _fields(kind) for kind in _KINDS}
_NUMBERS: dict[type[wire.Event], Callable[[wire.TaskEvent], tuple[int, ...]]] = {
    kind: attrgetter(*numbers)
    for kind, (numbers, _) in _FIELDS.items()
    if issubclass(kind, wire.TaskEvent)
}
"""Of the kinds that are about tasks: these have two numbers or more."""
