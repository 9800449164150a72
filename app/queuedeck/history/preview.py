# SPDX-License-Identifier: AGPL-3.0-only
"""Redacted arguments on one short line, as lists show them. Pure."""

from typing import cast

import msgspec

from queuedeck_agent.redact import REDACTED_KEY

PREVIEW_CHARS = 120

_REPR = "~repr"
"""The caller's own text stands for the arguments."""
_TRUNCATED = "~truncated"
"""Something was cut: a string with its `head`, or the number of items left out."""
_ELLIPSIS = "…"

_encode = msgspec.json.Encoder().encode


def args_preview(args: bytes) -> str:
    """`a, b, key=value`; empty when the arguments were not captured or are not what we know."""
    if not args:
        return ""
    try:
        call = msgspec.json.decode(args)
    except msgspec.MsgspecError:
        return ""
    if not isinstance(call, dict):
        return ""
    shown = cast("dict[str, object]", call)
    words = [*_positional(shown.get("args")), *_named(shown.get("kwargs"))]
    return ", ".join(words)[:PREVIEW_CHARS]


def _positional(args: object) -> list[str]:
    if isinstance(args, dict):
        return [_own_text(cast("dict[str, object]", args))]
    values = cast("list[object]", args) if isinstance(args, list) else []
    return [_value(value) for value in values[:PREVIEW_CHARS]]


def _named(kwargs: object) -> list[str]:
    if not isinstance(kwargs, dict):
        return []
    values = cast("dict[str, object]", kwargs)
    if _REPR in values:
        return [_own_text(values)]
    pairs = list(values.items())[:PREVIEW_CHARS]
    return [_ELLIPSIS if k == _TRUNCATED else f"{k}={_value(v)}" for k, v in pairs]


def _own_text(values: dict[str, object]) -> str:
    return str(values.get(_REPR, ""))


def _value(value: object) -> str:
    if isinstance(value, str):
        return value[:PREVIEW_CHARS]
    if isinstance(value, dict):
        cut = cast("dict[str, object]", value)
        if REDACTED_KEY in cut and len(cut) == 1:
            return f"[hidden: {cut[REDACTED_KEY]}]"
        if _TRUNCATED in cut and len(cut) <= 2:
            return str(cut.get("head", "")) + _ELLIPSIS
    return _encode(value).decode(errors="replace")[:PREVIEW_CHARS]
