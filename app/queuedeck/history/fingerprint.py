# SPDX-License-Identifier: AGPL-3.0-only
"""Which failures are the same: by type, by the application's own frames, and by a message without
what differs each time. Pure; bounded, and linear in what it reads.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby

import msgspec

from queuedeck.history.frames import CHAINED, FRAME, library_of

READ_CHARS = 32_768
"""So much of a traceback's end is read: the newest frames stand last."""
MESSAGE_CHARS = 300
FRAMES = 5
"""So many of the innermost frames tell failures apart."""
_CHAINED = 3
"""So many of a chain's newest exceptions are looked at, for one with frames of the application."""

_VARIES = re.compile(
    r"(?P<id>(?<![0-9a-fA-F])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
    r"|(?P<hex>0[xX][0-9a-fA-F]+|(?<!\w)(?=[a-fA-F]{0,64}\d)[0-9a-fA-F]{8,}(?!\w))"
    r"|(?P<email>(?<![\w.+-])[\w.+-]{1,64}@[\w.-]+)"
    r"|(?P<text>(?<!\w)'[^'\n]*'(?!\w)|(?<!\w)\"[^\"\n]*\"(?!\w))"
    r"|(?P<n>\d+(?:[.,:]\d+)*)"
)


class Fingerprint(msgspec.Struct, frozen=True):
    number: int
    """The same for the same failures, on every server; never 0."""
    message: str
    """The first line, with `{n}`, `{id}`, `{hex}`, `{email}` and `{text}` for what differs."""
    culprit: str
    """`path/file.py in function`: the innermost frame of the application; empty without any."""


def fingerprint(exception: str, message: str, traceback: str) -> Fingerprint:
    message = normal_message(message)
    frames = _own_frames(_calls(traceback))
    parts = "\0".join((exception, message, *(f"{file}\1{name}" for file, name in frames)))
    digest = blake2b(parts.encode(errors="replace"), digest_size=8).digest()
    culprit = " in ".join(part for part in frames[-1] if part) if frames else ""
    return Fingerprint(int.from_bytes(digest) >> 1 or 1, message, culprit)


def normal_message(message: str) -> str:
    """The first line without numbers, ids, addresses and quoted words."""
    line = message[: MESSAGE_CHARS * 4].strip().partition("\n")[0][:MESSAGE_CHARS]
    return _VARIES.sub(lambda found: f"{{{found.lastgroup}}}", line).strip()


def _calls(traceback: str) -> str:
    """Without the message at the end: a storm of one failure is then read once."""
    end = traceback.find("\n", traceback.rfind("\n  ") + 1)
    return traceback[: end if end > 0 else None][-READ_CHARS:]


@lru_cache(256)
def _own_frames(text: str) -> list[tuple[str, str]]:
    """(file, function) of the application's innermost frames, in the newest exception of a chain
    that has any: an engine's own retry raises from the failure. Else only the last of all."""
    begins = [0, *(chained.end() for chained in CHAINED.finditer(text))]
    last: list[tuple[str, str]] = []
    end = len(text)
    for begin in begins[: -_CHAINED - 1 : -1]:
        own, innermost = _frames(text[begin:end])
        if own:
            return _distinct(own)[-FRAMES:]
        last, end = last or innermost, begin
    return last


def _frames(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The application's frames of one traceback, and its last one."""
    own: list[tuple[str, str]] = []
    last: list[tuple[str, str]] = []
    for found in FRAME.finditer(text):
        library, path = library_of(found["file"])
        frame = (_short(path), found["name"] or "")
        last = [frame]
        if not library:
            own.append(frame)
    return own, last


def _distinct(frames: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """A function that calls itself counts once, however deep it went."""
    return [frame for frame, _ in groupby(frames)]


def _short(path: str) -> str:
    """The last two parts: releases are installed under different folders."""
    return "/".join(path.replace("\\", "/").rsplit("/", 2)[-2:])
