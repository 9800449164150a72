# SPDX-License-Identifier: Apache-2.0
"""Applies what is said about single tasks to a copy that the general walk has made."""

from typing import cast

from queuedeck_agent import redact
from queuedeck_agent.capture_walk import MAX_DEPTH, REPR_KEY, TRUNCATED_KEY, Walk
from queuedeck_agent.overrides import Hidden, Path


def is_of_result(place: int | Path) -> bool:
    """Whether the place is in a return value."""
    return not isinstance(place, int) and place[0] == "result"


def override(hidden: Hidden, shown: object, original: object, walk: Walk) -> object:
    """`shown` with places hidden and shown; hiding comes last, so it wins."""
    for place, rule in hidden:
        if isinstance(place, int):
            shown = _hide(shown, ("args", str(place)), rule)
        elif rule:
            shown = _hide(shown, place, rule)
        else:
            shown = _show(shown, original, place, walk)
    return shown


def _hide(node: object, path: Path, rule: str) -> object:
    if not path:
        return redact.marker(rule)
    if isinstance(node, dict):
        pairs = cast("dict[str, object]", node)
        if redact.REDACTED_KEY in pairs:
            return pairs
        if REPR_KEY in pairs or (TRUNCATED_KEY in pairs and "head" in pairs):
            return redact.marker(rule)  # a text, in which nobody can find the place
        return {name: _hide_in(name, item, path, rule) for name, item in pairs.items()}
    if isinstance(node, list):
        items = enumerate(cast("list[object]", node))
        return [_hide_in(str(place), item, path, rule) for place, item in items]
    return redact.marker(rule) if isinstance(node, str) and node else node


def _hide_in(name: str, item: object, path: Path, rule: str) -> object:
    if name == path[0] or path[0] == "*":
        return _hide(item, path[1:], rule)
    # A key may have dots in its name.
    return redact.marker(rule) if "." in name and name == ".".join(path) else item


def _show(node: object, original: object, path: Path, walk: Walk) -> object:
    """Only what its own name has hidden: what is in something hidden stays hidden."""
    is_hidden = isinstance(node, dict) and redact.REDACTED_KEY in node
    if not path:
        return walk.any(original, MAX_DEPTH) if is_hidden else cast("object", node)
    name = path[0]
    if isinstance(node, dict) and type(original) is dict and not is_hidden:
        pairs, known = cast("dict[str, object]", node), cast("dict[str, object]", original)
        if name in pairs and name in known:
            return {**pairs, name: _show(pairs[name], known[name], path[1:], walk)}
    elif isinstance(node, list) and type(original) in (list, tuple) and name.isdecimal():
        items, place = [*cast("list[object]", node)], int(name)
        origin = cast("list[object]", original)
        if place < min(len(items), len(origin)):
            items[place] = _show(items[place], origin[place], path[1:], walk)
        return items
    return cast("object", node)
