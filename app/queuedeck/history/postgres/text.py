# SPDX-License-Identifier: AGPL-3.0-only
"""Texts as Postgres keeps them. It refuses NUL characters and half surrogates, which SQLite and
Python allow; here they are written with an escape character, in every text column and parameter.
"""

import re

_ESCAPE = "\x10"
_REFUSED = re.compile("[\x00\x10\ud800-\udfff]")
_ESCAPED = re.compile("\x10(.{4})", re.DOTALL)


def escape(text: str) -> str:
    if text.isascii() and "\x00" not in text and _ESCAPE not in text:
        return text
    return _REFUSED.sub(lambda found: f"{_ESCAPE}{ord(found[0]):04x}", text)


def encode(text: str) -> bytes:
    return escape(text).encode()


def decode(data: bytes) -> str:
    text = str(data, "utf-8")
    if _ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
