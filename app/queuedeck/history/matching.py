# SPDX-License-Identifier: AGPL-3.0-only
"""Whether a task's arguments, result or error hold what is looked for. Pure.

Words are runs of letters and digits, without regard to case: `INV-2026` is two. The index of words
and the scan that reads payloads both use the functions here, so both find the same.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import msgspec

from queuedeck.history.filters import PathTerm

DOCUMENT_CHARS = 16_384
"""Words further in are not found; the agent's own limits are smaller by default."""

_WORD = re.compile(r"[^\W_]+")
_BREAK = "\n"
"""Between two values: a phrase does not reach over it."""
_SAFE = re.compile(r"[A-Za-z0-9_.@:+-]+")
"""What JSON always writes as it is."""

Json = object


class Needle(msgspec.Struct, frozen=True):
    """A text to look for: words in a row, of which the last may only begin so."""

    words: tuple[str, ...]
    is_inside: bool = False
    """Also in the middle of a word: no index helps."""

    def is_in(self, document: str) -> bool:
        start = "" if self.is_inside else " "
        return bool(self.words) and start + " ".join(self.words) in document


def needle_of(text: str) -> Needle:
    """A star in front looks inside words too."""
    return Needle(tuple(_words(text)), text.startswith("*"))


def document_of(args: bytes, *errors: str) -> str:
    """The words of a task, each behind a space: of its arguments' values, and of its errors."""
    texts = [*texts_in(decoded(args)), *errors]
    lines = (" ".join(["", *_words(text)]) for text in texts)
    return _BREAK.join(line for line in lines if line)[:DOCUMENT_CHARS]


def holds(term: PathTerm, payload: bytes) -> bool:
    """Whether the payload has a value that the term, without its sign, asks for."""
    found = values_at(term, decoded(payload))
    return any(fits(text, term.values) for text in found)


def values_at(term: PathTerm, value: Json) -> Iterator[str]:
    """The values at the path as text; anywhere when it is empty."""
    if term.part == "args":
        value = by_name_and_position(value)
    if not term.path:
        return texts_in(value)
    return (text_of(found) for found in descend(value, term.path) if is_plain(found))


def raw_part(values: Sequence[str]) -> str | None:
    """What the stored JSON must contain for any of the values to be in it; None if unknown."""
    if len(values) != 1:
        return None
    return max(_SAFE.findall(values[0]), key=len, default=None)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def decoded(payload: bytes) -> Json:
    """A captured payload as JSON; what is none, as text."""
    if not payload:
        return None
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return payload.decode(errors="replace")


def by_name_and_position(call: Json) -> Json:
    """`{"args": [a], "kwargs": {"k": b}}` as `{"0": a, "k": b}`."""
    if not isinstance(call, dict):
        return call
    parts = cast("dict[str, Json]", call)
    args, kwargs = parts.get("args"), parts.get("kwargs")
    merged = {str(at): value for at, value in enumerate(cast("list[Json]", args))} if isinstance(
        args, list
    ) else {}  # fmt: skip
    return merged | (cast("dict[str, Json]", kwargs) if isinstance(kwargs, dict) else {})


def descend(value: Json, path: Sequence[str]) -> Iterator[Json]:
    """Everything at the path, of which `*` is any key or position."""
    if not path:
        yield value
        return
    for inner in _step(value, path[0]):
        yield from descend(inner, path[1:])


def _step(value: Json, step: str) -> Iterable[Json]:
    if isinstance(value, dict):
        keyed = cast("dict[str, Json]", value)
        return keyed.values() if step == "*" else [keyed[step]] if step in keyed else []
    if isinstance(value, list):
        items = cast("list[Json]", value)
        if step == "*":
            return items
        at = int(step) if re.fullmatch(r"[0-9]{1,6}", step) else len(items)
        return items[at : at + 1]
    return []


def texts_in(value: Json) -> Iterator[str]:
    """Every plain value inside, as text."""
    if isinstance(value, dict):
        for inner in cast("dict[str, Json]", value).values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in cast("list[Json]", value):
            yield from texts_in(inner)
    elif value is not None:
        yield text_of(value)


def is_plain(value: Json) -> bool:
    """Whether it has no values inside."""
    return not isinstance(value, dict | list)


def text_of(value: Json) -> str:
    """A plain value as people write it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether the text equals, or with `*` fits, any of the patterns."""
    return any(text == one or ("*" in one and _pattern(one).match(text)) for one in patterns)


def _pattern(pattern: str) -> re.Pattern[str]:
    """Only `*` is special in our patterns."""
    return re.compile(fnmatch.translate(re.sub(r"([?\[])", r"[\1]", pattern)))
