# SPDX-License-Identifier: AGPL-3.0-only
"""Times, durations, numbers and texts as people read them. Pure.

`static/js/times.js` says the same in the browser. Everything is rounded
down: 59.96 s has not been a minute.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US

_MS = 1_000
_HOUR_US = 60 * MINUTE_US
_THIN = "\u202f"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(msgspec.Struct, frozen=True):
    """A point in time, for the macro `moment`."""

    iso: str
    text: str
    title: str
    style: str
    """`ago` (ticks in the browser), `clock` (to the millisecond), `minute`, `second` and `hour`
    (times of day), or `date`."""


class Span(msgspec.Struct, frozen=True):
    """A duration, for the macro `span`."""

    text: str = ""
    since: str = ""
    """ISO time that the browser counts from, while it still changes."""
    style: str = "span"
    """`span` counts up from a beginning, `ago` says `in 26 m` of what is to come."""


def duration(us: int | None) -> str:
    """`<1 ms`, `12 ms`, `1.24 s`, `41.2 s`, `4 m 08 s`, `3 h 07 m`, `2 d 04 h`; empty for None."""
    if us is None:
        return ""
    if us < _MS:
        return "<1 ms"
    if us < SECOND_US:
        return f"{us // _MS} ms"
    if us < 10 * SECOND_US:
        return f"{us // 10_000 / 100:.2f} s"
    if us < MINUTE_US:
        return f"{us // 100_000 / 10:.1f} s"
    if us < _HOUR_US:
        return f"{us // MINUTE_US} m {us % MINUTE_US // SECOND_US:02d} s"
    if us < DAY_US:
        return f"{us // _HOUR_US} h {us % _HOUR_US // MINUTE_US:02d} m"
    return f"{us // DAY_US} d {us % DAY_US // _HOUR_US:02d} h"


def ago(at_us: int, now_us: int) -> str:
    """`now`, `41 s ago`, `3 m ago`, `5 h ago`, `2 d ago`; `in 26 m` for what is to come."""
    passed = now_us - at_us
    if abs(passed) < SECOND_US:
        return "now"
    rough = _rough(abs(passed))
    return f"{rough} ago" if passed > 0 else f"in {rough}"


def _rough(us: int) -> str:
    for unit, word in ((DAY_US, "d"), (_HOUR_US, "h"), (MINUTE_US, "m")):
        if us >= unit:
            return f"{us // unit} {word}"
    return f"{us // SECOND_US} s"


def moment_ago(at_us: int, now_us: int) -> Moment:
    return Moment(iso(at_us), ago(at_us, now_us), utc(at_us), "ago")


def moment_clock(at_us: int) -> Moment:
    """The time of day to the millisecond, in UTC until the browser knows better."""
    return Moment(iso(at_us), utc(at_us)[11:23], utc(at_us), "clock")


def moment_minute(at_us: int) -> Moment:
    return Moment(iso(at_us), utc(at_us)[:16], utc(at_us), "minute")


def moments_between(since_us: int, until_us: int, count: int) -> tuple[Moment, ...]:
    """The labels of an axis: so many times, as exact as the length between them asks for."""
    step = (until_us - since_us) // (count - 1)
    style, part = ("minute", slice(16))
    if until_us - since_us <= 20 * MINUTE_US:
        style, part = ("second", slice(11, 19))
    elif until_us - since_us <= DAY_US:
        style, part = ("hour", slice(11, 16))
    times = (since_us + place * step for place in range(count))
    return tuple(Moment(iso(at), utc(at)[part], utc(at), style) for at in times)


def growing(since_us: int, now_us: int) -> Span:
    """A duration that has not ended."""
    return Span(duration(max(0, now_us - since_us)), iso(since_us))


def iso(at_us: int) -> str:
    """ISO 8601 with milliseconds, UTC."""
    return f"{_at(at_us):%Y-%m-%dT%H:%M:%S}.{at_us // _MS % 1_000:03d}Z"


def utc(at_us: int) -> str:
    return iso(at_us).replace("T", " ").replace("Z", " UTC")


def _at(at_us: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:  # A broken clock on some host must not break the page.
        return _EPOCH


def count(number: int) -> str:
    """`12 431`, grouped by a thin space that does not break."""
    return f"{number:,}".replace(",", _THIN)


def plural(number: int, one: str, many: str = "") -> str:
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """`812 B`, `4.2 KiB`, `1.6 MiB`."""
    if number < 1024:
        return f"{number} B"
    for unit, word in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= unit:
            return f"{number * 10 // unit / 10:.1f} {word}"
    raise AssertionError


def joined(words: list[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
