# SPDX-License-Identifier: Apache-2.0
"""Arguments that an operator edited, joined with the original ones that the dashboard never saw.

The form shows redacted, capped arguments. Whatever is left there as it was shown stands for the
original value at that place; only what was changed is taken from the form.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from queuedeck_agent import capture, redact
from queuedeck_agent.capture_walk import REPR_KEY, TRUNCATED_KEY
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.overrides import Hidden

_MARKERS = (redact.REDACTED_KEY, TRUNCATED_KEY, REPR_KEY)
_HIDDEN_IN_TEXT = "[redacted: "
_STANDS_FOR = re.compile(r"<[\w.]+(?: of \d+ \w+)?>")
"""How objects, bytes and huge numbers are shown."""
Marks = frozenset[str]
"""Texts in what was shown that stand for something else."""


class Call(NamedTuple):
    """The arguments of a call, as the application's code takes them."""

    args: list[Any]
    kwargs: dict[str, Any]


def entered(given: bytes) -> Call:
    """What an operator wrote, where there is no original. Raises `CommandRefused`."""
    args, kwargs = _parts(given)
    return Call(_plain(args, "args"), _plain(kwargs, "kwargs"))


def merged(given: bytes, args: Any, kwargs: Any, hidden: Hidden = ()) -> Call:
    """The edited call. `args` and `kwargs` are the original's; `hidden`: what is said of its task.

    Raises `CommandRefused` where a changed place still holds a mark of something not shown.
    """
    new_args, new_kwargs = _parts(given)
    shown = msgspec.json.decode(capture.arguments(args, kwargs, hidden).json)
    marks = frozenset(
        (*_stand_ins(shown["args"], args), *_stand_ins(shown["kwargs"], kwargs)),
    )
    call = Call(
        _merged(new_args, shown["args"], args, "args", marks),
        _merged(new_kwargs, shown["kwargs"], kwargs, "kwargs", marks),
    )
    return Call(list(call.args), dict(call.kwargs))


def _parts(given: bytes) -> tuple[list[Any], dict[str, Any]]:
    try:
        whole = msgspec.json.decode(given or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandRefused("invalid", f"The arguments are not JSON: {error}.") from None
    args, kwargs = whole.pop("args", []), whole.pop("kwargs", {})
    if whole or not isinstance(args, list) or not isinstance(kwargs, dict):
        raise CommandRefused(
            "invalid", 'Arguments are written as {"args": [...], "kwargs": {...}}, nothing else.'
        )
    return cast("list[Any]", args), cast("dict[str, Any]", kwargs)


def _merged(new: Any, shown: Any, original: Any, path: str, marks: Marks) -> Any:
    if _is_same(new, shown):
        return original
    if isinstance(new, dict) and isinstance(shown, dict) and isinstance(original, Mapping):
        return _merged_dict(
            cast("dict[str, Any]", new),
            cast("dict[str, Any]", shown),
            cast("Mapping[Any, Any]", original),
            path,
            marks,
        )
    if isinstance(new, list) and isinstance(shown, list) and isinstance(original, (list, tuple)):
        found = _merged_list(
            cast("list[Any]", new),
            cast("list[Any]", shown),
            list(cast("list[Any]", original)),
            path,
            marks,
        )
        return tuple(found) if type(cast("object", original)) is tuple else found
    return _new(new, path, marks)


def _merged_dict(
    new: dict[str, Any],
    shown: dict[str, Any],
    original: Mapping[Any, Any],
    path: str,
    marks: Marks,
) -> dict[Any, Any]:
    keys = _keys(shown, original)
    if keys is None:
        if not any(name in _MARKERS for name in shown):
            raise _not_shown(path)  # two keys look alike
        return _new(new, path, marks)
    found: dict[Any, Any] = {}
    for name, value in new.items():
        if name in keys:
            key = keys[name]
            found[key] = _merged(value, shown[name], original[key], f"{path}.{name}", marks)
        elif name == TRUNCATED_KEY and name in shown and _is_same(value, shown[name]):
            there = set(keys.values())
            found.update({key: item for key, item in original.items() if key not in there})
        else:
            if name in _MARKERS:
                raise _not_shown(path)
            found[name] = _new(value, f"{path}.{name}", marks)
    return found


def _keys(shown: dict[str, Any], original: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Name as shown -> key. Keys that are no texts, and long ones, are shown differently, but in
    the same order. None where two of them look alike, or nothing of the dict was shown."""
    cut = shown.get(TRUNCATED_KEY, 0) if TRUNCATED_KEY not in original else 0
    names = [name for name in shown if not (cut and name == TRUNCATED_KEY)]
    if type(cut) is not int or len(names) + cut != len(original):
        return None
    keys = dict(zip(names, original, strict=False))
    if any(isinstance(key, str) and key in shown and keys[key] != key for key in keys.values()):
        return None
    return None if any(name in _MARKERS and key != name for name, key in keys.items()) else keys


def _merged_list(
    new: list[Any], shown: list[Any], original: list[Any], path: str, marks: Marks
) -> list[Any]:
    rest: list[Any] = []
    if _is_cut(shown, original):
        if new and _is_same(new[-1], shown[-1]):
            rest, new = original[len(shown) - 1 :], new[:-1]
        shown = shown[:-1]
    found: list[Any] = []
    for place, value in enumerate(new):
        if place < min(len(shown), len(original)):
            found.append(_merged(value, shown[place], original[place], f"{path}.{place}", marks))
        else:
            found.append(_new(value, f"{path}.{place}", marks))
    return found + rest


def _is_cut(shown: list[Any], original: list[Any]) -> bool:
    last = shown[-1] if shown else None
    if not isinstance(last, dict) or set(cast("dict[str, Any]", last)) != {TRUNCATED_KEY}:
        return False
    return cast("dict[str, Any]", last)[TRUNCATED_KEY] + len(shown) - 1 == len(original)


def _new(value: Any, path: str, marks: Marks) -> Any:
    """What was written anew. What only stands for an object of the original cannot be moved: its
    name in angle brackets would be taken for a text."""
    plain = _plain(value, path)
    if marks and any(text in marks for text in _texts(plain)):
        raise _not_shown(path)
    return plain


def _stand_ins(shown: Any, original: Any) -> Iterator[str]:
    if isinstance(shown, str):
        if _STANDS_FOR.fullmatch(shown) and shown != original:
            yield shown
    elif isinstance(shown, list) and isinstance(original, (list, tuple, set, frozenset)):
        many = cast("list[Any]", shown)
        for item, one in zip(many, cast("Collection[Any]", original), strict=False):
            yield from _stand_ins(item, one)
    elif isinstance(shown, dict) and isinstance(original, Mapping):
        pairs = cast("dict[str, Any]", shown)
        for item, one in zip(
            pairs.values(), cast("Mapping[Any, Any]", original).values(), strict=False
        ):
            yield from _stand_ins(item, one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from _texts(item)


def _is_same(one: Any, other: Any) -> bool:
    """As JSON: 1 is neither 1.0 nor true. The order of a dict does not count."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        many = cast("list[Any]", one)
        return len(many) == len(other) and all(map(_is_same, many, other))
    if isinstance(one, dict):
        pairs = cast("dict[str, Any]", one)
        return pairs.keys() == other.keys() and all(
            _is_same(item, other[key]) for key, item in pairs.items()
        )
    return bool(one == other)


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value)
        if any(mark in pairs for mark in _MARKERS):
            raise _not_shown(path)
        return {key: _plain(item, f"{path}.{key}") for key, item in pairs.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_plain(item, f"{path}.{place}") for place, item in enumerate(items)]
    if isinstance(value, str) and _HIDDEN_IN_TEXT in value:
        raise _not_shown(path)
    return value


def _not_shown(path: str) -> CommandRefused:
    return CommandRefused(
        "invalid",
        f"The value at `{path}` is not all of it: it was redacted or cut when it was captured, and "
        "there is no original here to put in its place. Write the whole value.",
    )
