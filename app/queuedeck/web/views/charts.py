# SPDX-License-Identifier: AGPL-3.0-only
"""Charts as SVG paths, with the table that says the same. Coloured by class; no script. Pure.

Paths are drawn in a box of WIDTH by HEIGHT that is stretched to its place.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from queuedeck.clock import DAY_US, SECOND_US
from queuedeck.web.format import Moment, count, duration, iso, utc

WIDTH = 1000
HEIGHT = 100
_GAP = 0.16
"""Of a column's place that stays free."""
_DASH = 6
"""How wide a value between two unknown ones is drawn."""
_LABELS = 5
"""Times below a chart."""

Values = Sequence[int | float | None]


class Path(msgspec.Struct, frozen=True):
    style: str
    d: str


class Key(msgspec.Struct, frozen=True):
    """One line of the legend."""

    style: str
    word: str
    value: str


class Row(msgspec.Struct, frozen=True):
    moment: Moment
    cells: tuple[str, ...]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    note: str
    summary: str
    """What a reader who does not see the picture is told."""
    kind: str
    """`cols` or `lines`."""
    paths: tuple[Path, ...]
    grid: tuple[str, ...]
    """Labels of the vertical axis, from the top down, at equal distances."""
    times: tuple[Moment, ...]
    key: tuple[Key, ...]
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: str
    """Stands in place of the picture when there is nothing to draw."""


class Series(msgspec.Struct, frozen=True):
    style: str
    word: str
    values: Values
    total: str


class Axis(msgspec.Struct, frozen=True):
    since_us: int
    step_us: int
    points: int

    def moment(self, point: int) -> Moment:
        at_us = self.since_us + point * self.step_us
        text = utc(at_us)
        whole = self.points * self.step_us > 2 * DAY_US
        return Moment(iso(at_us), text[5:10] if whole else text[11:16], text, _style(whole))

    def labels(self) -> tuple[Moment, ...]:
        last = self.points - 1
        places = sorted({round(n * last / (_LABELS - 1)) for n in range(_LABELS)})
        return tuple(self.moment(point) for point in places)


def _style(whole: bool) -> str:
    return "date" if whole else "hour"


def columns(
    chart_id: str, title: str, note: str, series: Sequence[Series], axis: Axis, empty: str
) -> Chart:
    """Stacked columns, the first series at the bottom."""
    sums = [sum(s.values[n] or 0 for s in series) for n in range(axis.points)]
    top = nice_top(max(sums, default=0))
    below = [0.0] * axis.points
    paths: list[Path] = []
    for one in series:
        parts: list[str] = []
        for n, value in enumerate(one.values):
            if value:
                parts.append(_bar(n, axis.points, below[n] / top, (below[n] + value) / top))
                below[n] += value
        paths.append(Path(one.style, "".join(parts)))
    steps = next(n for n in (4, 5, 3, 2, 1) if top % n == 0)
    return _chart(
        chart_id,
        title,
        note,
        "cols",
        tuple(paths),
        tuple(count(round(top * n / steps)) for n in range(steps, -1, -1))
        if top >= 2
        else ("1", "0"),
        series,
        axis,
        count_or_none,
        empty if not any(sums) else "",
    )


def lines(
    chart_id: str, title: str, note: str, series: Sequence[Series], axis: Axis, empty: str
) -> Chart:
    """Durations on a logarithmic scale: a second is as far from ten as a minute from ten."""
    known = [value for one in series for value in one.values if value is not None]
    low, high = decades([value for value in known if value > 0])
    span = high - low

    def place(value: int | float) -> float:
        return min(1.0, max(0.0, (math.log10(max(value, 1)) - low) / span))

    return _chart(
        chart_id,
        title,
        note,
        "lines",
        tuple(Path(one.style, _line(one.values, place)) for one in series),
        tuple(short_duration(10**n) for n in range(high, low - 1, -1)),
        series,
        axis,
        duration_or_none,
        "" if known else empty,
    )


def shares(chart_id: str, title: str, note: str, one: Series, axis: Axis, empty: str) -> Chart:
    """One share of a hundred as an area."""
    known = [value for value in one.values if value is not None]
    top = share_top(max(known, default=0.0))
    line = _line(one.values, lambda value: value / top)
    return _chart(
        chart_id,
        title,
        note,
        "lines",
        (Path(f"{one.style} area", _area(one.values, lambda v: v / top)), Path(one.style, line)),
        tuple(percent(top * n / 2) for n in (2, 1, 0)),
        [one],
        axis,
        percent_or_none,
        "" if known else empty,
    )


def spark(values: Sequence[int], height: int = 20) -> str:
    """A small area without scale; empty when there is nothing."""
    top = max(values, default=0)
    if not top:
        return ""
    step = WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{n * step:.0f} {height - 1 - value / top * (height - 3):.1f}"
        for n, value in enumerate(values)
    )
    return f"M-20 {height + 4}L-20 {height - 1}L{points}L{WIDTH + 20} {height + 4}"


def _chart(
    chart_id: str,
    title: str,
    note: str,
    kind: str,
    paths: tuple[Path, ...],
    grid: tuple[str, ...],
    series: Sequence[Series],
    axis: Axis,
    text: Callable[[int | float | None], str],
    empty: str,
) -> Chart:
    rows = tuple(
        Row(axis.moment(n), tuple(text(one.values[n]) for one in series))
        for n in range(axis.points - 1, -1, -1)
        if any(one.values[n] for one in series)
    )
    told = ", ".join(f"{one.word.lower()} {one.total}" for one in series)
    return Chart(
        id=chart_id,
        title=title,
        note=note,
        summary=f"{title}, {note}: {told}",
        kind=kind,
        paths=paths,
        grid=grid,
        times=axis.labels(),
        key=tuple(Key(one.style, one.word, one.total) for one in series),
        heads=tuple(one.word for one in series),
        rows=rows,
        empty=empty,
    )


def _bar(n: int, points: int, low: float, high: float) -> str:
    wide = WIDTH / points
    left, right = n * wide + wide * _GAP / 2, (n + 1) * wide - wide * _GAP / 2
    return f"M{left:.1f} {_y(low)}H{right:.1f}V{_y(high)}H{left:.1f}Z"


def _line(values: Values, place: Callable[[int | float], float]) -> str:
    """Through the middle of each step; broken where nothing is known, a dash where it is alone."""
    wide = WIDTH / max(1, len(values))
    parts: list[str] = []
    drawing = False
    for n, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x, y = (n + 0.5) * wide, _y(place(value))
        if not drawing and (n + 1 == len(values) or values[n + 1] is None):
            parts.append(f"M{x - _DASH / 2:.1f} {y}h{_DASH}")
        else:
            parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y}")
        drawing = True
    return "".join(parts)


def _area(values: Values, place: Callable[[int | float], float]) -> str:
    wide = WIDTH / max(1, len(values))
    parts: list[str] = []
    run: list[str] = []
    for n, value in enumerate([*values, None]):
        if value is not None:
            run.append(f"{(n + 0.5) * wide:.1f} {_y(place(value))}")
        elif run:
            first, last = run[0].split()[0], run[-1].split()[0]
            parts.append(f"M{first} {HEIGHT}L{'L'.join(run)}L{last} {HEIGHT}Z")
            run = []
    return "".join(parts)


def _y(share: float) -> str:
    return f"{HEIGHT - share * HEIGHT:.1f}"


def nice_top(value: float) -> int:
    """The least of 1, 2, 3, 4, 5, 6, 8, 10, 20, 30 ... that is not below."""
    if value <= 1:
        return 1
    ten = 10 ** math.floor(math.log10(value))
    return int(next(n * ten for n in (1, 2, 3, 4, 5, 6, 8, 10) if n * ten >= value))


def decades(values: Sequence[int | float]) -> tuple[int, int]:
    """Powers of ten, in microseconds, that hold all values; at least two of them, from 1 ms on."""
    if not values:
        return 3, 5
    low = max(3, math.floor(math.log10(min(values))))
    high = max(low + 2, math.ceil(math.log10(max(values))))
    return low, high


def share_top(share: float) -> float:
    return next(top for top in (0.02, 0.1, 0.2, 0.5, 1.0) if share <= top)


def short_duration(us: int) -> str:
    """`1 ms`, `10 s`, `2 m`, `16 m`, `2 h`: one figure for an axis."""
    for unit, word in ((3600 * SECOND_US, "h"), (60 * SECOND_US, "m"), (SECOND_US, "s")):
        if us >= unit and (word != "m" or us >= 100 * SECOND_US):
            return f"{us // unit} {word}"
    return f"{us // 1_000} ms"


def percent(share: float) -> str:
    """`0 %`, `0.4 %`, `12 %`."""
    if share and share < 0.1:
        return f"{share * 100:.1f}\u202f%".replace(".0", "") if share >= 0.0005 else "<0.1\u202f%"
    return f"{share * 100:.0f}\u202f%"


def percent_or_none(share: int | float | None) -> str:
    return "" if share is None else percent(share)


def count_or_none(number: int | float | None) -> str:
    return count(int(number or 0))


def duration_or_none(us: int | float | None) -> str:
    return "" if us is None else duration(int(us))
