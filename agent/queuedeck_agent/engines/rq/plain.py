# SPDX-License-Identifier: Apache-2.0
"""Reads the call of a waiting job without running any code of it, or not at all.

RQ's payloads are pickles, or JSON. A pickle of plain values needs nothing to be imported or
called: one that asks for more is not read here. Its turn comes in a work horse.
"""

import io
import json
import pickle
import re
import zlib
from typing import Any, NamedTuple

MAX_BYTES = 256 * 1024
_NAME = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\((?:\x8c(.)|X(.{4}))", re.DOTALL)
"""How a pickle begins whose first value, of four, is a text: up to its length."""


class PlainCall(NamedTuple):
    """A function without an instance, and plain arguments."""

    name: str
    args: "tuple[Any, ...]"
    kwargs: "dict[str, Any]"


class _NoCode(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not a plain value")


def read(stored: Any) -> PlainCall | None:
    """The call in a job's field `data`; None where it is not plain, too large or damaged."""
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(stored, MAX_BYTES)
    except (zlib.error, TypeError):
        return None
    return None if inflate.unconsumed_tail else of(raw)


def of(raw: Any) -> PlainCall | None:
    """The same of a payload that is inflated already."""
    if not isinstance(raw, bytes) or not 0 < len(raw) <= MAX_BYTES:
        return None
    try:
        # Only these two begin so; an application's own serializer is the application's business.
        if raw[0] == pickle.PROTO[0]:
            parts: Any = _NoCode(io.BytesIO(raw)).load()
        elif raw[:1] == b"[":
            parts = json.loads(raw)
        else:
            return None
        name, instance, args, kwargs = parts
    except Exception:  # noqa: BLE001 - whatever a damaged payload can raise
        return None
    if instance is not None or not isinstance(name, str):
        return None
    if not isinstance(args, (tuple, list)) or not isinstance(kwargs, dict):
        return None
    return PlainCall(name, tuple(args), kwargs)


def name_of(raw: Any) -> str:
    """The function's name alone, whatever its arguments are; empty where it cannot be seen."""
    call = of(raw)
    if call is not None or not isinstance(raw, bytes):
        return call.name if call is not None else ""
    begin = _NAME.match(raw)
    if begin is None:
        return ""
    end = begin.end() + int.from_bytes(begin[1] or begin[2], "little")
    return raw[begin.end() : end].decode("utf-8", "replace")
