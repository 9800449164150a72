# SPDX-License-Identifier: Apache-2.0
"""The original call of a Dramatiq message, in the encoding that the application uses itself."""

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from queuedeck_agent import capture
from queuedeck_agent.seal import MAX_PLAINTEXT_BYTES

STAMP = "queuedeck"
"""Our message option: what the sender knows and the worker needs (see `dramatiq_send`)."""

_OWN_OPTIONS = frozenset({
    STAMP, "redis_message_id", "eta", "delay", "retries", "traceback", "requeue_timestamp",
    "pipe_target", "pipe_ignore", "group_completion_uuid", "group_completion_callbacks",
})  # fmt: skip
"""Options that belong to one delivery, or to a pipeline or group; a retry runs alone."""
_GROUP = "group_completion_uuid"
_JSON_ENCODER = "dramatiq.encoder.JSONEncoder"


class SealedCall(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Only agents read it, so fields may be appended, with defaults."""

    encoder: str
    """The class of the application's encoder."""
    body: bytes
    """`{queue_name, actor_name, args, kwargs, options}` as that encoder writes it."""
    linked: bool = False
    """The original was a step of a pipeline, or one of a group with callbacks."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SealedCall).decode
_json = msgspec.json.Encoder().encode


def pack(message: Any, plain: bool) -> bytes:
    """The plaintext of the sealed call, or nothing when it is over the limit.

    `plain`: the arguments are nothing but JSON types, and were seen whole.
    """
    options = {key: one for key, one in message.options.items() if key not in _OWN_OPTIONS}
    fields = {
        "queue_name": message.queue_name.removesuffix(".DQ"),
        "actor_name": message.actor_name,
        "args": message.args,
        "kwargs": message.kwargs,
        "options": options,
    }
    encoder = get_encoder()
    name = _name(encoder)
    body = _body(encoder, fields, plain and not options and name == _JSON_ENCODER)
    if not body:
        return b""
    linked = bool(message.options.get("pipe_target") or message.options.get(_GROUP))
    packed = _encode(SealedCall(name, body, linked))
    return packed if len(packed) <= MAX_PLAINTEXT_BYTES else b""


def unpack(call: bytes) -> SealedCall:
    """The call again; raises `msgspec.DecodeError` when it is not one of Dramatiq's."""
    return _decode(call)


def get_encoder() -> Any:
    """The encoder that the application has set."""
    return _encoder_finder()()


@functools.cache
def _encoder_finder() -> Callable[[], Any]:
    """Not at our import: Dramatiq itself is half-imported then."""
    from dramatiq.message import get_encoder as found

    return found


def is_own_encoding(call: SealedCall) -> bool:
    """Whether this process encodes messages as the one that sealed the call did."""
    return call.encoder == _name(get_encoder())


def _body(encoder: Any, fields: "dict[str, Any]", own: bool) -> bytes:
    """`own`: our JSON says the same as the encoder's."""
    if own:
        return _json(fields)
    if not capture.fits(fields, MAX_PLAINTEXT_BYTES):
        return b""
    try:
        return bytes(encoder.encode(fields))
    except Exception:  # noqa: BLE001 - then the broker cannot take it either
        return b""


def _name(encoder: Any) -> str:
    return f"{type(encoder).__module__}.{type(encoder).__qualname__}"
