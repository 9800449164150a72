# SPDX-License-Identifier: AGPL-3.0-only
"""Redacted JSON of agents to a tree that templates print: keys sorted, numbers exact."""

import json
import re
from typing import cast

import msgspec

from queuedeck.web.format import plural
from queuedeck_agent.redact import REDACTED_KEY

TRUNCATED_KEY = "~truncated"
REPR_KEY = "~repr"
"""Markers of the agent's `capture_walk`, which the server must not import; a test compares them."""
MAX_NODES = 2_000
"""Beyond this the rest is counted, not printed: agents cap at far less."""
_OPEN_DEPTH = 3
_INLINE_LOCK = re.compile(r"""\[redacted: ([^\]\n]{1,40})\]|\{"~redacted": ?"([^"\n]{1,40})"\}""")
"""Inside of texts, and where a preview shows a hidden value as JSON."""


class Node(msgspec.Struct, frozen=True):
    kind: str
    """`text`, `plain` (number, true, null), `lock`, `note`, `list` or `map`."""
    text: str
    key: str | None = None
    children: tuple["Node", ...] = ()
    open: bool = False


class LockPart(msgspec.Struct, frozen=True):
    """A stretch of text, or a rule that hid one."""

    text: str
    rule: str = ""


class _Exact(str):
    """A number as it was written."""


def lock_parts(text: str) -> list[LockPart]:
    """Splits a text at the places where the agent hid something."""
    parts: list[LockPart] = []
    end = 0
    for match in _INLINE_LOCK.finditer(text):
        parts += [LockPart(text[end : match.start()]), LockPart("", match[1] or match[2])]
        end = match.end()
    parts.append(LockPart(text[end:]))
    return [part for part in parts if part.text or part.rule]


def read_args(raw: bytes) -> list[Node]:
    """The top level of `{"args": [...], "kwargs": {...}}` as one list of nodes."""
    value = _read(raw)
    if not isinstance(value, dict):
        return _top(value)
    call = cast("dict[str, object]", value)
    if not set(call) <= {"args", "kwargs"}:
        return _top(value)
    builder = _Builder()
    args, kwargs = call.get("args", []), call.get("kwargs", {})
    positional = cast("list[object]", args) if isinstance(args, list) else [args]
    named = cast("dict[str, object]", kwargs) if isinstance(kwargs, dict) else {"kwargs": kwargs}
    if set(named) == {REDACTED_KEY}:
        named = {"kwargs": kwargs}
    nodes = [builder.node(item, str(index), 1) for index, item in enumerate(positional)]
    return nodes + [builder.node(item, key, 1) for key, item in sorted(named.items())]


def read_value(raw: bytes) -> list[Node]:
    return _top(_read(raw)) if raw else []


def _top(value: object) -> list[Node]:
    node = _Builder().node(value, None, 0)
    return list(node.children) if node.kind == "map" and node.children else [node]


def _read(raw: bytes) -> object:
    if not raw:
        return {}
    try:
        return json.loads(raw, parse_int=_Exact, parse_float=_Exact, parse_constant=_Exact)
    except (ValueError, RecursionError):
        return raw.decode(errors="replace")


class _Builder:
    """Counts the nodes it makes, so that no value can make an endless page."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def node(self, value: object, key: str | None, depth: int) -> Node:
        self._left -= 1
        if isinstance(value, dict):
            return self._map(cast("dict[str, object]", value), key, depth)
        if isinstance(value, list):
            items = cast("list[object]", value)
            return self._list(items, key, depth)
        if isinstance(value, _Exact) or value is None or isinstance(value, bool):
            return Node("plain", json.dumps(value) if not isinstance(value, str) else value, key)
        return Node("text", str(value), key)

    def _list(self, items: list[object], key: str | None, depth: int) -> Node:
        named = [(str(index), item) for index, item in enumerate(items)]
        return self._branch("list", plural(len(items), "item"), named, key, depth)

    def _map(self, value: dict[str, object], key: str | None, depth: int) -> Node:
        if set(value) == {REDACTED_KEY}:
            return Node("lock", str(value[REDACTED_KEY]), key)
        if set(value) == {REPR_KEY}:
            return Node("text", str(value[REPR_KEY]), key)
        if set(value) == {TRUNCATED_KEY, "head"}:
            return _cut_string(value, key)
        if set(value) == {TRUNCATED_KEY}:
            return Node("note", f"{value[TRUNCATED_KEY]} more, cut by the agent", key)
        cut = value.pop(TRUNCATED_KEY, None)
        node = self._branch("map", plural(len(value), "key"), sorted(value.items()), key, depth)
        if cut is None:
            return node
        note = Node("note", f"{cut} more keys, cut by the agent")
        return msgspec.structs.replace(node, children=(*node.children, note))

    def _branch(
        self, kind: str, text: str, items: list[tuple[str, object]], key: str | None, depth: int
    ) -> Node:
        if not items:
            return Node("note", "empty list" if kind == "list" else "empty map", key)
        children: list[Node] = []
        for index, (name, item) in enumerate(items):
            if self._left <= 0:
                children.append(Node("note", f"{plural(len(items) - index, 'value')} more"))
                break
            children.append(self.node(item, name, depth + 1))
        return Node(kind, text, key, tuple(children), depth < _OPEN_DEPTH)


def _cut_string(value: dict[str, object], key: str | None) -> Node:
    head = Node("text", str(value["head"]), None)
    note = Node("note", f"cut by the agent, {value[TRUNCATED_KEY]} characters in all")
    return Node("map", "long text", key, (head, note), open=True)
