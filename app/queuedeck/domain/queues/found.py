# SPDX-License-Identifier: AGPL-3.0-only
"""What an agent found in a queue: the JSON of `peek` and `dead`, read without trusting it."""

import msgspec


class FoundMessage(msgspec.Struct, frozen=True):
    """One message that waits or was given up. Times are 0 and texts empty where nobody knows."""

    id: str
    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"null")
    """Redacted by the agent: `{"args": [...], "kwargs": {...}}`."""
    at_us: int = 0
    due_us: int = 0
    attempt: int = 0
    priority: int = -1
    error: str = ""


def read_found(raw: bytes) -> list[FoundMessage]:
    """The messages; none where the bytes are something else."""
    try:
        return _decode(raw) if raw else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


_decode = msgspec.json.Decoder(list[FoundMessage]).decode
