# SPDX-License-Identifier: AGPL-3.0-only
"""Python's printed tracebacks to frames: the application's own open, libraries folded."""

import re
from itertools import groupby

import msgspec

from queuedeck.history.frames import CHAINED, FRAME, library_of
from queuedeck.web.format import joined, plural

MAX_FRAMES = 200
_MARKS = re.compile(r"^[\s~^]+$")


class FrameLine(msgspec.Struct, frozen=True):
    file: str
    line: int
    function: str
    code: str
    library: str
    """The package it belongs to; empty for the application's own code."""


class TracePart(msgspec.Struct, frozen=True):
    """Neighbouring frames of one kind, or a note between two chained exceptions."""

    frames: tuple[FrameLine, ...] = ()
    library: bool = False
    label: str = ""
    note: str = ""


class Trace(msgspec.Struct, frozen=True):
    parts: tuple[TracePart, ...]
    exception: str
    message: str
    summary: str
    raw: str


def read_traceback(text: str, exception: str, message: str) -> Trace | None:
    """None without frames: then the exception alone says all there is."""
    items = _items(text)
    frames = [item for item in items if isinstance(item, FrameLine)]
    if not frames:
        return None
    own = sum(not frame.library for frame in frames)
    summary = f"{plural(len(frames), 'frame')}, {own} of your code; the newest call last"
    return Trace(tuple(_parts(items)), exception, message, summary, text)


def _items(text: str) -> list[FrameLine | str]:
    """Frames, and the lines that stand between two chained exceptions, in order."""
    items: list[FrameLine | str] = []
    lines = text.splitlines()
    index = 0
    while index < len(lines) and len(items) < MAX_FRAMES:
        match = FRAME.match(lines[index])
        index += 1
        if match:
            code = lines[index].strip() if index < len(lines) and _is_code(lines[index]) else ""
            items.append(_frame(match, code))
        elif CHAINED.match(lines[index - 1]):
            items.append(lines[index - 1].rstrip(":"))
    return items


def _is_code(line: str) -> bool:
    return line.startswith("    ") and not _MARKS.match(line) and not FRAME.match(line)


def _frame(match: re.Match[str], code: str) -> FrameLine:
    package, short = library_of(match["file"])
    return FrameLine(short, int(match["line"]), match["name"] or "", code, package)


def _parts(items: list[FrameLine | str]) -> list[TracePart]:
    parts: list[TracePart] = []
    for kind, group in groupby(items, key=_kind):
        if kind == "note":
            parts += [TracePart(note=str(note)) for note in group]
            continue
        frames = tuple(item for item in group if isinstance(item, FrameLine))
        packages = list(dict.fromkeys(frame.library for frame in frames))
        label = f"{plural(len(frames), 'frame')} in {joined(packages)}" if kind == "lib" else ""
        parts.append(TracePart(frames, kind == "lib", label))
    return parts


def _kind(item: FrameLine | str) -> str:
    if isinstance(item, str):
        return "note"
    return "lib" if item.library else "own"
