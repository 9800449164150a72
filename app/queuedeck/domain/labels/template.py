# SPDX-License-Identifier: AGPL-3.0-only
"""Templates of labels: text to pieces, back to text, and filled from a task's arguments. Pure.

`{args.0.type}: {kwargs.id}`: what stands in braces is a place in the arguments, as in the filter:
`args.0` a position, `args.job` or `kwargs.job` a name. `|` stands between places of which the first
that has a value counts. `{{` and `}}` are braces. A template in which any place has no value yields
nothing.
"""

from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from queuedeck.domain.labels.place import RuleInvalid, check_length
from queuedeck.history.labels import MAX_CHARS as MAX_LABEL_CHARS
from queuedeck.history.matching import Json, by_name_and_position, descend, is_plain, text_of

FIELD = "template"
MAX_CHARS = 200
MAX_SLOTS = 8
MAX_PLACES = 6
"""Between the bars of one slot."""
MAX_STEPS = 8
MAX_VALUE_CHARS = 80
"""Of one value in a label."""
ROOTS = ("args", "kwargs")

_A_PLACE = "a place such as {args.0}, {kwargs.job} or {args.0.type}"
_CUT = "…"
_HEAD = "head"
"""The beginning of a text that the agent cut."""


class Place(msgspec.Struct, frozen=True):
    """Where in the arguments a value is."""

    root: str
    """`args`, by position or name; `kwargs`, by name alone."""
    steps: tuple[str, ...]


class Slot(msgspec.Struct, frozen=True):
    places: tuple[Place, ...]
    """The first that has a value counts."""


Template = tuple[str | Slot, ...]
"""Text and slots in turn; no text is empty, and none follows another."""


def parse(text: str) -> Template:
    """Raises `RuleInvalid` with the place of the mistake."""
    check_length(FIELD, text, MAX_CHARS)
    pieces = tuple(_pieces(text))
    slots = sum(isinstance(piece, Slot) for piece in pieces)
    if not slots:
        raise RuleInvalid(FIELD, "Nothing in it comes from the task", 0, len(text), _A_PLACE)
    if slots > MAX_SLOTS:
        raise RuleInvalid(FIELD, f"It has {slots} places", 0, len(text), f"{MAX_SLOTS} at most")
    return pieces


def to_text(template: Template) -> str:
    """A text that `parse` reads as the same template."""
    return "".join(
        piece.replace("{", "{{").replace("}", "}}")
        if isinstance(piece, str)
        else "{" + "|".join(".".join((one.root, *one.steps)) for one in piece.places) + "}"
        for piece in template
    )


def fill(template: Template, call: Json) -> str:
    """The label of a task with this call (`{"args": [...], "kwargs": {...}}`); empty if any place
    has no value.
    """
    if not isinstance(call, dict):
        return ""
    roots = {"args": by_name_and_position(call), "kwargs": _named(call)}
    found: list[str] = []
    for piece in template:
        text = piece if isinstance(piece, str) else _value(piece, roots)
        if text is None:
            return ""
        found.append(text)
    return cut(plain("".join(found)), MAX_LABEL_CHARS)


def plain(text: str) -> str:
    """In one line, without what cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(_CUT)].rstrip() + _CUT


def _pieces(text: str) -> Iterator[str | Slot]:
    words, at = "", 0
    while at < len(text):
        char = text[at]
        if char in "{}" and text[at + 1 : at + 2] == char:
            words, at = words + char, at + 2
        elif char == "}":
            raise RuleInvalid(FIELD, "This brace closes nothing", at, 1, "}} for a brace")
        elif char == "{":
            if words:
                yield words
            words, end = "", text.find("}", at)
            if end < 0:
                raise RuleInvalid(FIELD, "This brace is never closed", at, len(text) - at, "a }")
            yield _slot(text[at + 1 : end], at + 1)
            at = end + 1
        else:
            words, at = words + char, at + 1
    if words:
        yield words


def _slot(text: str, offset: int) -> Slot:
    places: list[Place] = []
    for part in text.split("|"):
        places.append(_place(part, offset))
        offset += len(part) + 1
    if len(places) > MAX_PLACES:
        start = offset - len(text) - 1
        raise RuleInvalid(
            FIELD, f"These are {len(places)} places", start, len(text), f"{MAX_PLACES} at most"
        )
    return Slot(tuple(places))


def _place(text: str, offset: int) -> Place:
    root, *steps = text.split(".")
    if root not in ROOTS:
        problem = f"{text!r} is no place" if text else "A place is missing"
        raise RuleInvalid(FIELD, problem, offset, len(text), _A_PLACE)
    if not steps or not all(steps):
        raise RuleInvalid(FIELD, "A step of this place is missing", offset, len(text), _A_PLACE)
    if len(steps) > MAX_STEPS:
        raise RuleInvalid(
            FIELD, f"This has {len(steps)} steps", offset, len(text), f"{MAX_STEPS} at most"
        )
    for wrong, why in (("*", "A star stands for many values"), ("{", "A brace stands in a place")):
        if wrong in text:
            raise RuleInvalid(FIELD, why, offset + text.index(wrong), 1, "one place")
    if text != "".join(text.split()):
        raise RuleInvalid(FIELD, "A space stands in this place", offset, len(text), _A_PLACE)
    return Place(root, tuple(steps))


def _named(call: object) -> Json:
    return cast("Mapping[str, Json]", call).get("kwargs")


def _value(slot: Slot, roots: Mapping[str, Json]) -> str | None:
    """None: no value, one that was not captured, or one that has others inside."""
    for place in slot.places:
        for value in descend(roots[place.root], place.steps):
            text = _text(value)
            if text:
                return text
    return None


def _text(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        head = cast("Mapping[str, Json]", value).get(_HEAD)
        is_cut = isinstance(head, str) and "~truncated" in value
        return (
            cut(plain(str(head)), MAX_VALUE_CHARS - 1).removesuffix(_CUT) + _CUT if is_cut else ""
        )
    return cut(plain(text_of(value)), MAX_VALUE_CHARS) if is_plain(value) else ""
