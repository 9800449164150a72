# SPDX-License-Identifier: AGPL-3.0-only
"""How an engine's task id is kept: 16 bytes for a UUID, text for all else, and its search key.

The key is a number, because an index of numbers is small and one statement can look up thousands.
For UUIDs it keeps the order of the text, so that the beginning of an id is a range of keys.
"""

import re
from hashlib import blake2b

Ext = bytes | str
"""An id as stored. 16 bytes: a UUID with dashes; 17: the same digits without them."""

_DASHED, _PLAIN = 36, 32
"""How long the two forms are."""
_PREFIX = re.compile(r"[0-9a-f]{4,8}|[0-9a-f]{8}-?[0-9a-f-]*")


def pack(task_id: str) -> tuple[int, Ext]:
    """(key, stored id) of an engine's id. Different ids may share a key: compare the stored id."""
    raw = _digits_of(task_id)
    if raw is None:
        digest = blake2b(task_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 1, task_id
    return int.from_bytes(raw[:8]) >> 1, raw if len(task_id) == _DASHED else raw + b"\x00"


def is_uuid(task_id: str) -> bool:
    """With dashes or without."""
    return _digits_of(task_id) is not None


def _digits_of(task_id: str) -> bytes | None:
    """The 16 bytes of a UUID, if the id is one and can be told from them letter by letter."""
    digits = task_id
    if len(task_id) == _DASHED and task_id[8:24:5] == "----":
        digits = task_id.replace("-", "")
    if len(digits) != _PLAIN or digits != digits.lower():
        return None
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return None
    return raw if len(raw) == 16 else None  # Spaces are no digits, but no errors either.


def unpack(ext: Ext) -> str:
    if isinstance(ext, str):
        return ext
    digits = ext[:16].hex()
    if len(ext) > 16:
        return digits
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def older_key(key: int) -> int:
    """Where generations that can no longer receive events are filed: out of the writer's way."""
    return ~key


def key_range(prefix: str) -> tuple[int, int] | None:
    """The keys of UUIDs that may begin so, both ends included; None if no UUID can."""
    if len(prefix) > 36 or not _PREFIX.fullmatch(prefix):
        return None
    digits = prefix.replace("-", "")[:16]
    low = int(digits.ljust(16, "0"), 16) >> 1
    high = int(digits.ljust(16, "f"), 16) >> 1
    return low, high
