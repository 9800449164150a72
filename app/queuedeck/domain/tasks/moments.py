# SPDX-License-Identifier: AGPL-3.0-only
"""Times in a filter: `2h`, `14:00..15:00`, `2026-11-20`, `>2026-11-20T14:00Z`, and back. Pure.

UTC unless an offset is given. A date or a time without an end means all of that day, minute or
second; as the end of a range a date means the end of that day.
"""

import re
from datetime import UTC, datetime, timedelta

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US
from queuedeck.domain.tasks.amounts import duration_text, duration_us
from queuedeck.domain.tasks.reader import Value
from queuedeck.history.ranges import Instant, InstantKind, Period

A_TIME = "a time such as 2h, 14:00..15:00, 2026-11-20 or 2026-11-20T14:00 (UTC)"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = 32_503_680_000_000_000
"""The year 3000: later times are mistakes."""
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6}))?)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ZONE = re.compile(r"(Z|[+-][0-9]{2}:[0-9]{2})$")


class _Read(msgspec.Struct, frozen=True):
    """What a text stands for: all the time from `begin` to `end`."""

    begin: Instant
    end: Instant


def period(value: Value) -> Period:
    found = _period(value)
    low, high = found.low, found.high
    if low is not None and high is not None and low.kind is high.kind and _is_empty(low, high):
        raise value.wrong("This ends before it begins", "the earlier end first")
    return found


def period_text(when: Period) -> str:
    """The shortest text that `period` reads as the same."""
    low, high = when.low, when.high
    if low is not None and high is None and low.kind is InstantKind.AGO and low.us:
        return duration_text(low.us)
    if low is not None:
        single = _text(low)
        read = _read(single)
        if read is not None and Period(read.begin, read.end) == when:
            return single
    return f"{'' if low is None else _text(low)}..{'' if high is None else _end_text(high)}"


def _period(value: Value) -> Period:
    text = value.text
    sign = re.match(r"[<>]=?", text)
    if sign:
        read = _needed(value, text[sign.end() :])
        if read.begin.kind is InstantKind.AGO:
            raise value.wrong(
                "A duration has no before and after", "2h for the last two hours, ..2h for before"
            )
        return _compared(sign[0], read)
    low, dots, high = text.partition("..")
    if not dots:
        read = _needed(value, low)
        is_last = read.begin.kind is InstantKind.AGO
        return Period(read.begin, None if is_last else read.end)
    if not (low or high):
        raise value.wrong("Both ends are missing", A_TIME)
    return Period(
        _needed(value, low).begin if low else None,
        _until(_needed(value, high)) if high else None,
    )


def _compared(sign: str, read: _Read) -> Period:
    match sign:
        case ">":
            return Period(_until(read), None)
        case ">=":
            return Period(read.begin, None)
        case "<":
            return Period(None, read.begin)
        case _:
            return Period(None, _until(read))


def _until(read: _Read) -> Instant:
    """Up to a day includes it; up to 15:00 does not include that minute."""
    return read.end if read.end.us - read.begin.us == DAY_US else read.begin


def _needed(value: Value, text: str) -> _Read:
    read = _read(text)
    if read is None:
        raise value.wrong(f"{text!r} is no time" if text else "A time is missing", A_TIME)
    return read


def _read(text: str) -> _Read | None:
    ago = 0 if text == "now" else duration_us(text.removeprefix("now-"))
    if ago is not None:
        instant = Instant(InstantKind.AGO, ago)
        return _Read(instant, instant)
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _spanning(InstantKind.CLOCK, _clock_us(clock), _precision_us(clock))
    return _read_date(text)


def _read_date(text: str) -> _Read | None:
    if not _DATE.match(text):
        return None
    zone = _ZONE.search(text[10:])
    clock = text[11 : 10 + zone.start()] if zone else text[11:]
    found = _CLOCK.fullmatch(clock)
    if len(text) > 10 and (found is None or text[10] not in "T "):
        return None
    at_us = _utc_us(text if zone or found is None else text + "Z")
    if at_us is None or not 0 <= at_us < _LATEST_US:
        return None
    return _spanning(InstantKind.UTC, at_us, _precision_us(found) if found else DAY_US)


def _utc_us(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def _spanning(kind: InstantKind, at_us: int, length_us: int) -> _Read:
    return _Read(Instant(kind, at_us), Instant(kind, at_us + length_us))


def _clock_us(clock: re.Match[str]) -> int:
    hours, minutes, seconds, fraction = clock.groups(default="0")
    whole = int(hours) * 3_600 + int(minutes) * 60 + int(seconds)
    return whole * SECOND_US + int(fraction.ljust(6, "0"))


def _precision_us(clock: re.Match[str]) -> int:
    if clock[4]:
        return 1
    return SECOND_US if clock[3] else MINUTE_US


def _is_empty(low: Instant, high: Instant) -> bool:
    match low.kind:
        case InstantKind.AGO:
            return low.us <= high.us
        case InstantKind.UTC:
            return low.us >= high.us
        case InstantKind.CLOCK:
            return False  # 23:00..01:00 goes on over midnight.


def _text(instant: Instant) -> str:
    match instant.kind:
        case InstantKind.AGO:
            return duration_text(instant.us) if instant.us else "now"
        case InstantKind.CLOCK:
            return _clock_text(instant.us)
        case InstantKind.UTC:
            date, clock = _date_text(instant.us), instant.us % DAY_US
            return f"{date}T{_clock_text(clock)}" if clock else date


def _end_text(instant: Instant) -> str:
    if instant.kind is InstantKind.UTC and instant.us % DAY_US == 0:
        return _date_text(instant.us - DAY_US) if instant.us else "1970-01-01T00:00"
    return _text(instant)


def _date_text(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).date().isoformat()


def _clock_text(us: int) -> str:
    seconds, fraction = divmod(us, SECOND_US)
    text = f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}"
    if fraction:
        return f"{text}:{seconds % 60:02d}.{fraction:06d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text
