# SPDX-License-Identifier: AGPL-3.0-only
"""How payloads are packed into the tables of a day, and under which id."""

import zlib

import msgspec

from queuedeck.history.facts import AnyFact, Kind
from queuedeck.history.states import KIND_BITS, key_of

_ATTEMPT_BITS = 20
PAYLOAD_BITS = _ATTEMPT_BITS + KIND_BITS
"""The ids of a task's payloads begin with its `n`."""
_KEY_MASK = (1 << PAYLOAD_BITS) - 1

_PACK_FROM_BYTES = 1024
_RAW = b"\x00"
_ZLIB = b"\x01"
_FASTEST = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode

NO_PARTS = (b"", b"")


def payload_id(n: int, fact: AnyFact) -> int:
    """Under which id of the payload tables what a fact carries is stored."""
    return n << PAYLOAD_BITS | key_of(fact.attempt, fact.kind_no) & _KEY_MASK


def payload_table(fact: AnyFact) -> str:
    """Where it is stored: what was called, or what came of it."""
    return "call" if fact.kind_no in (Kind.PUBLISHED, Kind.STARTED) else "outcome"


def pack_parts(parts: tuple[bytes, bytes]) -> bytes:
    first, second = parts
    return _encode((_pack(first), _pack(second)))


def unpack_parts(data: bytes) -> tuple[bytes, bytes]:
    first, second = _decode(data)
    return unpack_part(first), unpack_part(second)


def _pack(data: bytes) -> bytes:
    """Compressed when that pays. Sealed calls never shrink and are left as they are."""
    if len(data) >= _PACK_FROM_BYTES:
        small = zlib.compress(data, _FASTEST)
        if len(small) < len(data) * 3 // 4:
            return _ZLIB + small
    return _RAW + data if data else b""


def unpack_part(stored: bytes) -> bytes:
    return zlib.decompress(stored[1:]) if stored[:1] == _ZLIB else stored[1:]
