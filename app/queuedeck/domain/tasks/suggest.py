# SPDX-License-Identifier: AGPL-3.0-only
"""What may come next in the filter box: keys while a word is typed, then values of the key.

Keys come from the grammar's own table in `filters.py`, values from what this project has. Only the
end of the text is completed.
"""

import msgspec

from queuedeck.domain.tasks.filters import (
    AMOUNT_KEYS,
    CLOSED,
    HINTS,
    KEYS,
    PATH_KEYS,
    TIME_KEY,
    parse,
)
from queuedeck.domain.tasks.reader import FilterInvalid, quoted
from queuedeck.history.filters import TaskFilter
from queuedeck.history.store import History

MOST = 12
"""So many values are offered at once."""
MOST_NAMES = 4
"""So many task names beside the keys, while it is not said what a word is."""

_EXAMPLES = {
    **dict.fromkeys(AMOUNT_KEYS, (">1s", ">10s", ">1m", ">10m", "<1s")),
    "retries": ("0", ">0", ">2"),
    TIME_KEY: ("15m", "1h", "1d", "7d"),
}
"""Of keys whose values are ranges."""


class Unfinished(msgspec.Struct, frozen=True):
    """The last term of a text, as far as it was typed."""

    before: str
    """Everything in front of the piece that is being typed, the key of its term included."""
    key: str
    """Empty while no colon stands behind it."""
    piece: str
    """The word, or the last value of the key, without an opening quote."""
    start: int
    """Where the term begins."""
    is_quoted: bool = False


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    """The whole text with the suggestion in it."""
    key: str
    value: str = ""
    """Empty: the key alone, and its values come next."""
    hint: str = ""
    count: int = 0
    """How many of the newest matches have the value; 0: not known."""


def unfinished(text: str) -> Unfinished:
    """Splits off what is being typed. Never raises: half a term is no mistake yet."""
    start, colon, piece, is_open = 0, -1, 0, False
    escaped = False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif is_open:
            escaped, is_open = char == "\\", char != '"'
        elif char == '"':
            is_open = True
        elif char.isspace():
            start, colon, piece = at + 1, -1, at + 1
        elif char == ":" and colon < 0:
            colon, piece = at, at + 1
        elif char == "," and colon >= 0:
            piece = at + 1
    key = text[start:colon].removeprefix("-") if colon >= 0 else ""
    if colon < 0 and text[start : start + 1] == "-":
        piece = start + 1
    word = text[piece:]
    return Unfinished(text[:piece], key, word.removeprefix('"'), start, word.startswith('"'))


async def suggest(
    history: History, project_id: int, text: str, kept: TaskFilter
) -> list[Suggestion]:
    """What may end the text; `kept` is the filter that holds already."""
    last = unfinished(text)
    if not last.key:
        return [] if last.is_quoted else await _words(history, project_id, last, kept)
    key = last.key.partition(".")[0]
    if key not in KEYS or key in PATH_KEYS:
        return []
    if key in _EXAMPLES or key in CLOSED:
        values = _EXAMPLES.get(key) or CLOSED[key]
        counts = {} if key in _EXAMPLES else await _counts(history, project_id, key, "", kept)
        return [
            _valued(last, key, value, counts.get(value, 0))
            for value in values
            if value.startswith(last.piece) and value != last.piece
        ]
    counts = await _counts(history, project_id, key, last.piece, kept)
    return [_valued(last, key, value, count) for value, count in counts.items()]


def mistake(text: str, kept: str) -> FilterInvalid | None:
    """What is wrong with the text, placed in it. The term that is being typed is not, unless there
    is no such key.
    """
    last = unfinished(text)
    if not last.key or last.key.partition(".")[0] in KEYS:
        text = text[: last.start]
    try:
        parse(text)
    except FilterInvalid as invalid:
        return invalid
    try:
        parse(f"{kept} {text}")
    except FilterInvalid as invalid:
        # Each is right by itself: what does not fit together is placed in the second.
        place = invalid.offset - len(kept) - 1
        return FilterInvalid(invalid.problem, max(0, place), invalid.length, invalid.expected)
    return None


async def _words(
    history: History, project_id: int, last: Unfinished, kept: TaskFilter
) -> list[Suggestion]:
    """Keys that begin so, then names of tasks that the word is part of."""
    piece = last.piece.lower()
    found = [_keyed(last, key) for key in KEYS if key.startswith(piece)]
    if piece:
        found += [
            _valued(last, key, value)
            for key, values in CLOSED.items()
            for value in values
            if value.startswith(piece)
        ]
        names = await _counts(history, project_id, "task", last.piece, kept, MOST_NAMES)
        found += [_valued(last, "task", name, count) for name, count in names.items()]
    return found


async def _counts(
    history: History,
    project_id: int,
    key: str,
    piece: str,
    kept: TaskFilter,
    limit: int = MOST,
) -> dict[str, int]:
    return await history.values(project_id, key, piece, kept, limit)


def _keyed(last: Unfinished, key: str) -> Suggestion:
    end = "." if key in PATH_KEYS else ":"
    return Suggestion(text=f"{last.before}{key}{end}", key=key, hint=HINTS.get(key, ""))


def _valued(last: Unfinished, key: str, value: str, count: int = 0) -> Suggestion:
    named = "" if last.key else f"{key}:"
    is_plain = key in _EXAMPLES
    written = value if is_plain else quoted(value)
    return Suggestion(
        text=f"{last.before}{named}{written}", key=last.key or key, value=value, count=count
    )
