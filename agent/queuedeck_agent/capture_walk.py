# SPDX-License-Identifier: Apache-2.0
"""The general walk: any value as plain JSON types, capped, bounded before it is walked.

No code of the application runs: `repr` and `str` of unknown objects are never called. They are
shown as `<module.Class>`.
"""

import datetime
import decimal
import enum
import math
import uuid
from collections.abc import Callable, Iterable
from itertools import islice
from typing import cast

from queuedeck_agent import redact

TRUNCATED_KEY = "~truncated"
"""A cut string is `{"~truncated": <characters of all>, "head": "<its beginning>"}`. A cut list ends
with `{"~truncated": <items left out>}`; a cut dict has the key with the number left out."""
REPR_KEY = "~repr"
"""Where the caller gave its own text for the arguments, that text stands here instead of them."""

MAX_DEPTH = 8
MAX_ITEMS = 100
"""Of one list or dict."""
MAX_NODES = 1000
"""Of everything together."""
MAX_STRING = 2048
"""Characters of one string; a bit more is searched, so that a secret at the cut is still found."""
MAX_TOTAL = 16 * 1024
"""Characters of all strings together."""
OVERLAP = 512
MAX_KEY = 128
MAX_INT_BITS = 63
CARD_LIMIT = 10**12
"""Numbers from here on are searched as text: they can be card numbers."""


class Walk:
    """One walk: what is left of the budgets, and the strings that patterns must see."""

    __slots__ = ("nodes", "plain", "room", "strings")

    def __init__(self) -> None:
        self.nodes = MAX_NODES
        self.room = MAX_TOTAL
        self.plain = True
        self.strings: list[str] = []

    def any(self, value: object, depth: int) -> object:
        kind = type(value)
        if kind is str:
            text = cast("str", value)
            size = len(text)
            if size < redact.MIN_LENGTH:
                return text
            if size > MAX_STRING or size > self.room:
                return self._cut(text)
            self.room -= size
            self.strings.append(text)
            return text
        if kind is int:
            if -CARD_LIMIT < cast("int", value) < CARD_LIMIT:
                return value
            return self._large(cast("int", value))
        if value is None or kind is bool:
            return value
        if kind is dict:
            return self.dict(cast("dict[object, object]", value), depth)
        if kind is list or kind is tuple:
            return self.list(cast("list[object]", value), depth)
        if kind is float and math.isfinite(cast("float", value)):
            return value
        self.plain = False
        return self._other(value, depth)

    def list(self, value: "list[object] | tuple[object, ...]", depth: int) -> object:
        size = len(value)
        if depth == 0 or self.nodes < min(size, MAX_ITEMS):
            return self._left_out(size) if size else []
        if size > MAX_ITEMS:
            self.nodes -= MAX_ITEMS
            shown = [self.any(item, depth - 1) for item in value[:MAX_ITEMS]]
            return [*shown, self._left_out(size - MAX_ITEMS)]
        self.nodes -= size
        return [self.any(item, depth - 1) for item in value]

    def dict(self, value: "dict[object, object]", depth: int) -> object:
        size = len(value)
        if depth == 0 or self.nodes < min(size, MAX_ITEMS):
            return self._left_out(size) if size else {}
        self.nodes -= min(size, MAX_ITEMS)
        copy: dict[str, object] = {}
        for key, item in value.items() if size <= MAX_ITEMS else islice(value.items(), MAX_ITEMS):
            name = key if type(key) is str and len(key) < redact.LONG_KEY else self._key(key)
            rule = redact.key_rule(name)
            if rule and item is not None and item != "" and type(item) is not bool:
                copy[name] = {redact.REDACTED_KEY: rule}
                if type(item) is not str:
                    self.plain = self.plain and _is_plain(item, MAX_DEPTH)
            else:
                copy[name] = self.any(item, depth - 1)
        if size > MAX_ITEMS:
            copy.update(self._left_out(size - MAX_ITEMS))
        return copy

    def _key(self, key: object) -> str:
        if type(key) is not str:
            self.plain = False
            shown = self._other(key, 0) if not isinstance(key, int) else int.__repr__(key)
            return shown if isinstance(shown, str) else "<key>"
        self.strings.append(key[: MAX_KEY + OVERLAP])
        if len(key) <= MAX_KEY:
            return key
        self.plain = False
        return redact.redact_text(key[: MAX_KEY + OVERLAP])[:MAX_KEY] + "..."

    def _left_out(self, count: int) -> "dict[str, object]":
        self.plain = False
        return {TRUNCATED_KEY: count}

    def _cut(self, text: str) -> object:
        """Redacts with some overlap first: half a secret matches no pattern."""
        self.plain = False
        keep = max(0, min(MAX_STRING, self.room))
        self.room -= keep
        head = redact.redact_text(text[: keep + OVERLAP])[:keep] if keep else ""
        return {TRUNCATED_KEY: len(text), "head": head}

    def _large(self, value: int) -> object:
        bits = value.bit_length()
        if bits > MAX_INT_BITS:
            self.plain = False
            return str(value) if bits <= 256 else f"<int of {bits} bits>"
        self.strings.append(str(value))
        return value

    def _other(self, value: object, depth: int) -> object:
        """Beyond plain JSON. Only methods of base classes run: subclasses may do anything."""
        if isinstance(value, str):
            return self.any(str.__str__(value), depth)
        if isinstance(value, enum.Enum):
            return f"<{qualified_name(type(value))}.{str.__str__(value.name)}>"
        if isinstance(value, int):
            return self.any(int.__int__(value), depth)
        if isinstance(value, float):
            return float.__repr__(value)
        if isinstance(value, dict):
            items = islice(dict.items(cast("dict[object, object]", value)), MAX_ITEMS + 1)
            return self.dict(dict(items), depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self.list(_listed(cast("Iterable[object]", value)), depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{type(value).__name__} of {len(value)} bytes>"
        return _known(value) or f"<{qualified_name(type(value))}>"


_PLAIN_TEXT = frozenset(
    {datetime.datetime, datetime.date, datetime.time, datetime.timedelta, uuid.UUID}
)


def _known(value: object) -> str:
    """Dates and ids of exactly the library's types, whose `str` is short and runs no other code."""
    kind = type(value)
    if kind is decimal.Decimal:
        number = cast("decimal.Decimal", value)
        return str(number) if len(number.as_tuple().digits) <= 100 else "<decimal.Decimal>"
    if kind not in _PLAIN_TEXT:
        return ""
    zone = getattr(value, "tzinfo", None)
    if zone is not None and type(zone) is not datetime.timezone:
        value = cast("datetime.datetime | datetime.time", value).replace(tzinfo=None)
    return str(value)


def _listed(value: Iterable[object]) -> "list[object]":
    """At most one item more than is shown, by the base class's own iterator."""
    for base in (list, tuple, set, frozenset):
        if isinstance(value, base):
            iterate = cast("Callable[[object], Iterable[object]]", base.__iter__)
            return list(islice(iterate(cast("object", value)), MAX_ITEMS + 1))
    return []


def qualified_name(kind: type) -> str:
    """`module.Class`, without running anything of the class."""
    module, name = type.__getattribute__(kind, "__module__"), kind.__qualname__
    return f"{module if type(module) is str else '?'}.{name}"[:200]


def _is_plain(value: object, depth: int) -> bool:
    """Whether a hidden container is plain JSON: it is not shown, but it is sealed."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return cast("int", value).bit_length() <= MAX_INT_BITS
    if kind is float:
        return math.isfinite(cast("float", value))
    if depth == 0 or kind not in (dict, list):
        return False
    if kind is list:
        items = cast("list[object]", value)
        return len(items) <= MAX_ITEMS and all(_is_plain(item, depth - 1) for item in items)
    pairs = cast("dict[object, object]", value)
    return len(pairs) <= MAX_ITEMS and all(
        type(key) is str and _is_plain(item, depth - 1) for key, item in pairs.items()
    )
