# SPDX-License-Identifier: AGPL-3.0-only
"""Encoded slashes. Engines allow `/` and `%` in task ids, ASGI decodes the whole path before a
route is chosen; so two characters stay encoded until a handler reads the id.
"""

import re
from urllib.parse import quote, unquote

from queuedeck.errors import NotFound

_KEPT = re.compile(rb"(%2[Ff]|%25)")


def routed_path(raw_path: bytes) -> str:
    """The path that routes are matched with: decoded, but for `%2F` and `%25`."""
    pieces = _KEPT.split(raw_path.partition(b"?")[0])
    return "".join(
        piece.decode("ascii") if index % 2 else unquote(piece.decode("latin-1"), errors="replace")
        for index, piece in enumerate(pieces)
    )


def decode_id(segment: str) -> str:
    """The id that a path parameter of `routed_path` stands for."""
    return unquote(segment)


def encode_id(task_id: str) -> str:
    """An id as one segment of a URL's path."""
    return quote(task_id, safe="")


def read_number(text: str) -> int:
    """A number of ours in a path; what is none names nothing."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound
    return int(text)
