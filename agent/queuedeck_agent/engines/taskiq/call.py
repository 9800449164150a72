# SPDX-License-Identifier: Apache-2.0
"""The original call of a taskiq message, in the format that the application uses itself."""

from typing import Any

import msgspec

from queuedeck_agent import capture
from queuedeck_agent.engines.taskiq.run import REQUEUES, RETRIES, STAMP
from queuedeck_agent.seal import MAX_PLAINTEXT_BYTES

PLAIN = "json"
_OWN_LABELS = frozenset({STAMP, RETRIES, REQUEUES, "schedule_id", "delay"})
"""Labels of one delivery. A retry is sent at once, and belongs to no schedule."""


class SealedCall(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Only agents read it, so fields may be appended, with defaults."""

    format: str
    """`json`, or the classes of the application's formatter and serializer."""
    body: bytes
    """`[args, kwargs]` as JSON, or the whole message as the formatter writes it."""
    labels: dict[str, Any] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SealedCall).decode
_json = msgspec.json.Encoder().encode


def pack(broker: Any, message: Any, plain: bool) -> bytes:
    """The plaintext of the sealed call, or nothing when it is over the limit.

    `plain`: the arguments are nothing but JSON types, and were seen whole.
    """
    if plain:
        kind, body = PLAIN, _json((message.args, message.kwargs))
    elif capture.fits((message.args, message.kwargs), MAX_PLAINTEXT_BYTES):
        kind, body = format_of(broker), _formatted(broker, message)
    else:
        return b""
    if not body or len(body) > MAX_PLAINTEXT_BYTES:
        return b""
    packed = _encode(SealedCall(kind, body, _labels(message)))
    return packed if len(packed) <= MAX_PLAINTEXT_BYTES else b""


def unpack(call: bytes) -> SealedCall:
    """The call again; raises `msgspec.DecodeError` when it is not one of taskiq's."""
    return _decode(call)


def open_body(broker: Any, call: SealedCall) -> tuple[list[Any], "dict[str, Any]"]:
    """(args, kwargs). The formatter is the application's own, as in its workers."""
    if call.format == PLAIN:
        args, kwargs = msgspec.json.decode(call.body)
        return args, kwargs
    message = broker.formatter.loads(message=call.body)
    return list(message.args), dict(message.kwargs)


def format_of(broker: Any) -> str:
    """How this process writes messages."""
    return f"{_name(broker.formatter)} {_name(broker.serializer)}"


def _formatted(broker: Any, message: Any) -> bytes:
    try:
        return bytes(broker.formatter.dumps(message).message)
    except Exception:  # noqa: BLE001 - then the broker cannot take it either
        return b""


def _labels(message: Any) -> "dict[str, Any]":
    """With their types again; on the way all are texts."""
    from taskiq.labels import parse_label

    types = message.labels_types or {}
    found: dict[str, Any] = {}
    for key, value in message.labels.items():
        if key in _OWN_LABELS:
            continue
        kind = types.get(key)
        found[key] = parse_label(value, kind) if kind and isinstance(value, str) else value
    return {key: one for key, one in found.items() if isinstance(one, (str, int, float, bytes))}


def _name(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
