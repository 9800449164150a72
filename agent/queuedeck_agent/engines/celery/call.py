# SPDX-License-Identifier: Apache-2.0
"""The original call of a Celery task, as bytes that can be published again untouched."""

import io
import pickle
from typing import Any

import msgspec

from queuedeck_agent import capture
from queuedeck_agent.seal import MAX_PLAINTEXT_BYTES

_ALONE: dict[str, None] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""A retried task runs alone: its links, chain and chord went on, or not, with the original."""

_OWN_HEADERS = frozenset({
    "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries",
    "timelimit", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
    "replaced_task_nesting", "stamped_headers", "stamps", "queuedeck", "compression",
})  # fmt: skip
"""Headers that Celery writes. The others are the application's and are carried over."""


class SealedCall(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Only agents read it, so fields may be appended, with defaults."""

    content_type: str
    content_encoding: str
    body: bytes
    """`[args, kwargs, embed]` in the task's own serialisation."""
    exchange: str = ""
    routing_key: str = ""
    priority: int | None = None
    timelimit: tuple[float | None, float | None] = (None, None)
    """Hard, soft, in seconds, when the caller gave them."""
    headers: dict[str, Any] = {}
    argsrepr: str | None = None
    """Only when the caller gave it, to hide the arguments in logs."""
    kwargsrepr: str | None = None
    shadow: str | None = None
    ignore_result: bool | None = None
    linked: bool = False
    """The original had links, a chain or a chord; a retry does not repeat them."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SealedCall).decode
_json = msgspec.json.Encoder().encode


def pack(
    serialised: "Serialised",
    headers: "dict[str, Any]",
    delivery: "dict[str, Any]",
    embed: Any,
    texts: tuple[str | None, str | None],
) -> bytes:
    """The plaintext of the sealed call, or nothing when it is over the limit."""
    content_type, content_encoding, body = serialised
    if not body or len(body) > MAX_PLAINTEXT_BYTES:
        return b""
    exchange = delivery.get("exchange")
    call = SealedCall(
        content_type,
        content_encoding,
        body,
        _name(exchange) if exchange else "",
        delivery.get("routing_key") or "",
        delivery.get("priority"),
        headers.get("timelimit") or (None, None),
        _custom(headers.get("headers", headers)),
        texts[0],
        texts[1],
        headers.get("shadow"),
        headers.get("ignore_result"),
        _is_linked(embed),
    )
    return packed(call)


def packed(call: SealedCall) -> bytes:
    """The plaintext of this call, or nothing when it is over the limit."""
    try:
        plain = _encode(call)
    except (TypeError, ValueError, OverflowError):
        plain = _encode(msgspec.structs.replace(call, headers={}))
    return plain if len(plain) <= MAX_PLAINTEXT_BYTES else b""


def unpack(call: bytes) -> SealedCall:
    """The call again; raises `msgspec.DecodeError` when it is not one of Celery's."""
    return _decode(call)


def load(call: SealedCall, accepted: Any) -> tuple[Any, Any]:
    """(args, kwargs), by the application's serializers. Raises what they raise; kombu refuses what
    the application does not accept, a pickle most of all."""
    from kombu.serialization import loads, prepare_accept_content

    accept = prepare_accept_content(accepted)
    args, kwargs, *_ = loads(call.body, call.content_type, call.content_encoding, accept=accept)
    return args, kwargs


def with_arguments(call: SealedCall, args: Any, kwargs: Any) -> SealedCall | None:
    """The call with other arguments in the same serialisation; None where they do not fit it."""
    from kombu.serialization import registry

    serializer = registry.type_to_name.get(call.content_type, "")
    made = _dumped(args, kwargs, serializer) if serializer else NOTHING
    if made is NOTHING:
        return None
    content_type, content_encoding, body = made
    return msgspec.structs.replace(
        call, content_type=content_type, content_encoding=content_encoding, body=body
    )


Serialised = tuple[str, str, bytes]
NOTHING: Serialised = ("", "", b"")


_ALONE_JSON = b"," + _json(_ALONE) + b"]"


def as_json(args_and_kwargs: bytes) -> Serialised:
    """The body, from the JSON of `[args, kwargs]`."""
    return "application/json", "utf-8", args_and_kwargs[:-1] + _ALONE_JSON


def serialise(args: Any, kwargs: Any, plain: bool, serializer: str, may_pickle: bool) -> Serialised:
    """The body as Celery would write it. `plain`: nothing in it but JSON types, seen whole."""
    if plain and serializer == "json":
        return "application/json", "utf-8", _json((args, kwargs, _ALONE))
    if not capture.fits((args, kwargs), MAX_PLAINTEXT_BYTES):
        return NOTHING
    found = _dumped(args, kwargs, serializer)
    if found is NOTHING and may_pickle and serializer != "pickle":
        found = _dumped(args, kwargs, "pickle")
    return found


def _dumped(args: Any, kwargs: Any, serializer: str) -> Serialised:
    body = (args, kwargs, _ALONE)
    try:
        if serializer == "pickle":
            return _pickled(body)
        from kombu.serialization import dumps

        content_type, content_encoding, payload = dumps(body, serializer=serializer)
    except Exception:  # noqa: BLE001 - whatever an object's own encoder raises: then no retry
        return NOTHING
    data = payload.encode(content_encoding or "utf-8") if isinstance(payload, str) else payload
    return content_type or "application/data", content_encoding or "binary", data


def _pickled(body: Any) -> Serialised:
    """As kombu pickles, but into a file that refuses to grow: objects hide their size."""
    file = _Small()
    pickle.Pickler(file, protocol=pickle.DEFAULT_PROTOCOL).dump(body)
    return "application/x-python-serialize", "binary", file.getvalue()


class _Small(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > MAX_PLAINTEXT_BYTES:
            raise OverflowError("over the limit of a sealed call")
        return super().write(data)


def _custom(headers: Any) -> "dict[str, Any]":
    if not headers or headers.keys() <= _OWN_HEADERS:
        return {}
    return {key: value for key, value in headers.items() if key not in _OWN_HEADERS}


def _is_linked(embed: Any) -> bool:
    get = embed.get if embed else None
    return bool(get and (get("chain") or get("callbacks") or get("chord") or get("errbacks")))


def _name(exchange: Any) -> str:
    return exchange if isinstance(exchange, str) else getattr(exchange, "name", "") or ""
