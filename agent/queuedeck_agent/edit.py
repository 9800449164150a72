# SPDX-License-Identifier: Apache-2.0
"""Arguments that an operator edited, joined with the original ones that the dashboard never saw.

The form shows redacted, capped arguments. Whatever is left there as it was shown stands for the
original value at that place; only what was changed is taken from the form.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec

from queuedeck_agent import capture, redact
from queuedeck_agent.capture_walk import REPR_KEY, TRUNCATED_KEY
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.overrides import Hidden

_MARKERS = (redact.REDACTED_KEY, TRUNCATED_KEY, REPR_KEY)
_HIDDEN_IN_TEXT = "[redacted: "
_exact = msgspec.json.Encoder(order="sorted").encode


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
    return Call(
        list(_merged(new_args, shown["args"], args, "args")),
        _merged(new_kwargs, shown["kwargs"], kwargs, "kwargs"),
    )


def _parts(given: bytes) -> tuple[list[Any], dict[str, Any]]:
    try:
        whole = msgspec.json.decode(given or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise CommandRefused("invalid", f"The arguments are not JSON: {error}.") from None
    args, kwargs = whole.pop("args", []), whole.pop("kwargs", {})
    if whole or not isinstance(args, list) or not isinstance(kwargs, dict):
        raise CommandRefused(
            "invalid", 'Arguments are written as {"args": [...], "kwargs": {...}}, nothing else.'
        )
    return cast("list[Any]", args), cast("dict[str, Any]", kwargs)


def _merged(new: Any, shown: Any, original: Any, path: str) -> Any:
    if _exact(new) == _exact(shown):
        return original
    if isinstance(new, dict) and isinstance(shown, dict) and isinstance(original, Mapping):
        return _merged_dict(
            cast("dict[str, Any]", new),
            cast("dict[str, Any]", shown),
            cast("Mapping[Any, Any]", original),
            path,
        )
    if isinstance(new, list) and isinstance(shown, list) and isinstance(original, (list, tuple)):
        return _merged_list(
            cast("list[Any]", new),
            cast("list[Any]", shown),
            list(cast("list[Any]", original)),
            path,
        )
    return _plain(new, path)


def _merged_dict(
    new: dict[str, Any], shown: dict[str, Any], original: Mapping[Any, Any], path: str
) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    keys = {str(key): key for key in original}
    for name, value in new.items():
        if name == TRUNCATED_KEY and name in shown and _exact(value) == _exact(shown[name]):
            found.update({key: original[key] for text, key in keys.items() if text not in shown})
        elif name in shown and name in keys:
            key = keys[name]
            found[key] = _merged(value, shown[name], original[key], f"{path}.{name}")
        else:
            if name in _MARKERS:
                raise _not_shown(path)
            found[name] = _plain(value, f"{path}.{name}")
    return found


def _merged_list(new: list[Any], shown: list[Any], original: list[Any], path: str) -> list[Any]:
    rest: list[Any] = []
    if _is_cut(shown) and new and _exact(new[-1]) == _exact(shown[-1]):
        rest, new, shown = original[len(shown) - 1 :], new[:-1], shown[:-1]
    found: list[Any] = []
    for place, value in enumerate(new):
        if place < min(len(shown), len(original)):
            found.append(_merged(value, shown[place], original[place], f"{path}.{place}"))
        else:
            found.append(_plain(value, f"{path}.{place}"))
    return found + rest


def _is_cut(shown: list[Any]) -> bool:
    last = shown[-1] if shown else None
    return isinstance(last, dict) and set(cast("dict[str, Any]", last)) == {TRUNCATED_KEY}


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
