# SPDX-License-Identifier: AGPL-3.0-only
"""Durations and counts in a filter: `>30s`, `<=5m`, `1.5s..4m`, `2`, and back to text. Pure."""

import re
from collections.abc import Callable
from decimal import Decimal

from queuedeck.domain.tasks.reader import FilterInvalid, Value
from queuedeck.history.ranges import Between

A_DURATION = "a duration such as >30s, <5m or 1s..5m"
A_COUNT = "a number such as 2, >2 or 1..3"

UNITS_US = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
MOST_US = 36_500 * UNITS_US["d"]
_MOST = 1_000_000_000
_PIECE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)(us|ms|s|m|h|d)")

ReadNumber = Callable[[str], int | None]
"""The number that a text stands for; None where it stands for none."""


def duration_us(text: str) -> int | None:
    """`30s`, `1.5s`, `4m02s`; None for what is no duration, or is longer than a century."""
    pieces = list(_PIECE.finditer(text))
    if not pieces or "".join(piece[0] for piece in pieces) != text:
        return None
    total = sum(int(Decimal(amount) * UNITS_US[unit]) for amount, unit in map(_groups, pieces))
    return total if total <= MOST_US else None


def duration_text(us: int) -> str:
    """The shortest text that `duration_us` reads as the same."""
    for unit, size in UNITS_US.items():
        if us and us % size == 0:
            return f"{us // size}{unit}"
    return f"{us}us" if us else "0s"


def durations(value: Value) -> Between:
    if duration_us(value.text) is not None:
        raise value.wrong("No two tasks take exactly as long", A_DURATION)
    return _between(value, duration_us, A_DURATION)


def counts(value: Value) -> Between:
    number = _count(value.text)
    if number is not None:
        return Between(number, number)
    return _between(value, _count, A_COUNT)


def durations_text(between: Between) -> str:
    return _text(between, duration_text)


def counts_text(between: Between) -> str:
    if between.low == between.high:
        return str(between.low)
    return _text(between, str)


def narrowed(before: tuple[Between, ...], by: list[Between]) -> tuple[Between, ...]:
    """What is in one of either: a key that is given twice narrows. Empty if nothing is left."""
    if not before:
        return tuple(by)
    pairs = [_overlap(a, b) for a in before for b in by]
    return tuple(pair for pair in pairs if pair is not None)


def _groups(piece: re.Match[str]) -> tuple[str, str]:
    return piece[1], piece[2]


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _between(value: Value, read: ReadNumber, expected: str) -> Between:
    """Reads `>a`, `>=a`, `<a`, `<=a`, `a..b`, `a..` and `..b`."""
    sign = re.match(r"[<>]=?", value.text)
    if sign is None:
        low, dots, high = value.text.partition("..")
        if not dots or not (low or high):
            raise value.wrong(f"{value.text!r} is no range", expected)
        found = Between(_end(value, low, read, expected), _end(value, high, read, expected))
    else:
        number = _end(value, value.text[sign.end() :], read, expected) or 0
        found = _compared(sign[0], number)
    _check(value, found)
    return found


def _end(value: Value, text: str, read: ReadNumber, expected: str) -> int | None:
    number = read(text)
    if number is None and (text or "." not in value.text):
        raise value.wrong(f"{text!r} is not one" if text else "A number is missing", expected)
    return number


def _compared(sign: str, number: int) -> Between:
    match sign:
        case ">":
            return Between(number + 1, None)
        case ">=":
            return Between(number, None)
        case "<":
            return Between(None, number - 1)
        case _:
            return Between(None, number)


def _check(value: Value, found: Between) -> None:
    if found.high is not None and found.high < (found.low or 0):
        raise FilterInvalid(
            "Nothing is in this range", value.offset, value.length, "the smaller end first"
        )


def _text(between: Between, write: Callable[[int], str]) -> str:
    low, high = between.low, between.high
    if low is not None and high is not None:
        return f"{write(low)}..{write(high)}"
    if low is not None:
        return _shorter(f">={write(low)}", f">{write(low - 1)}" if low else "")
    if high is not None:
        return _shorter(f"<={write(high)}", f"<{write(high + 1)}")
    return ""


def _shorter(plain: str, other: str) -> str:
    return other if other and len(other) < len(plain) else plain


def _overlap(a: Between, b: Between) -> Between | None:
    lows = [end for end in (a.low, b.low) if end is not None]
    highs = [end for end in (a.high, b.high) if end is not None]
    low, high = max(lows, default=None), min(highs, default=None)
    if high is not None and high < (low or 0):
        return None
    return Between(low, high)
