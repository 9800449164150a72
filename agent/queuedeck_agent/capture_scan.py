# SPDX-License-Identifier: Apache-2.0
"""The fast walk, for what nearly all arguments are: short values of plain JSON types."""

from typing import Any

from queuedeck_agent import redact
from queuedeck_agent.capture_walk import CARD_LIMIT, MAX_DEPTH, MAX_ITEMS, MAX_NODES, MAX_STRING


class Unusual(Exception):
    """Not all of it is short and plain: the general walk must look."""


class Scan:
    """The fast way through short and plain values: copies only what holds a secret.

    Values are `Any` here, because each `cast` would be a call.
    """

    __slots__ = ("deep", "nodes", "strings")

    def __init__(self) -> None:
        self.nodes = MAX_NODES
        self.strings: list[str] = []
        self.deep: list[Any] = []
        """Containers inside three others, those in them not listed again."""

    def dict(self, value: Any, depth: int) -> Any:
        """The same dict, or a copy with hidden values; raises `Unusual`."""
        self.nodes -= len(value)
        if len(value) > MAX_ITEMS or depth == 0 or self.nodes < 0:
            raise Unusual
        changed: Any = None
        for key, item in value.items():
            if key not in _harmless and _hides(key, item):
                new: Any = {redact.REDACTED_KEY: redact.key_rule(key)}
            else:
                kind = type(item)
                if kind is str:
                    size = len(item)
                    if size >= _LONG or (size >= _SHORT and (":" in item or "=" in item)):
                        self.strings.append(item)
                    continue
                if kind in ALWAYS_PLAIN:
                    continue
                new = self.other(item, kind, depth)
            if new is not item:
                changed = changed or {}
                changed[key] = new
        return value if changed is None else {**value, **changed}

    def list(self, value: Any, depth: int) -> Any:
        """The same list, or a copy with hidden values; raises `Unusual`."""
        self.nodes -= len(value)
        if len(value) > MAX_ITEMS or depth == 0 or self.nodes < 0:
            raise Unusual
        changed: Any = None
        for place, item in enumerate(value):
            kind = type(item)
            if kind is str:
                size = len(item)
                if size >= _LONG or (size >= _SHORT and (":" in item or "=" in item)):
                    self.strings.append(item)
            elif kind not in ALWAYS_PLAIN:
                new = self.other(item, kind, depth)
                if new is not item:
                    changed = changed or [*value]
                    changed[place] = new
        return value if changed is None else changed

    def other(self, item: Any, kind: type, depth: int) -> Any:
        """Containers and numbers."""
        if kind is int:
            if -CARD_LIMIT < item < CARD_LIMIT:
                return item
        elif kind is float:
            if -1e300 < item < 1e300:
                return item
        elif kind is dict or kind is list or kind is tuple:
            if depth == _DEEP:
                self.deep.append(item)
            return self.dict(item, depth - 1) if kind is dict else self.list(item, depth - 1)
        raise Unusual

    def joined(self) -> str:
        """All strings in one text for the patterns; raises `Unusual` when it is long."""
        if len(self.strings) > 1:
            if sum(map(len, self.strings)) > MAX_STRING:
                raise Unusual
            return "\n".join(self.strings)
        text = self.strings[0] if self.strings else ""
        if len(text) > MAX_STRING:
            raise Unusual
        return text


ALWAYS_PLAIN = frozenset({bool, type(None)})
_DEEP = MAX_DEPTH - 3
_SHORT = redact.MIN_LENGTH
_LONG = redact.MIN_BARE_LENGTH
_harmless = redact.harmless_keys


def _hides(key: object, item: object) -> bool:
    """Whether this key hides its value. Odd keys, and hidden containers, are for the other walk."""
    if type(key) is not str or len(key) >= redact.LONG_KEY:
        raise Unusual
    if not redact.key_rule(key) or item is None or item == "" or type(item) is bool:
        return False
    if type(item) is not str:
        raise Unusual
    return True
