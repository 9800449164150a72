# SPDX-License-Identifier: AGPL-3.0-only
"""The strip above the task list: what matches over time, stacked by outcome, as SVG paths."""

import msgspec

from queuedeck.domain.tasks.filters import to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.ranges import Instant, InstantKind, Period
from queuedeck.history.surveys import Histogram, HistogramBar
from queuedeck.history.tasks import TaskState
from queuedeck.web import urls
from queuedeck.web.format import Moment, count, iso, joined, moments_between, plural, utc
from queuedeck.web.views.words import STATE_WORDS

BAR_WIDTH = 10
LEAST_BARS = 30
"""A few bars would fill the strip as blocks: then it begins earlier, with nothing."""
HEIGHT = 46
_LAYERS = {
    "ok": (TaskState.SUCCEEDED,),
    "open": (TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RUNNING),
    "off": (TaskState.CANCELLED,),
    "retry": (TaskState.RETRYING,),
    "lost": (TaskState.LOST,),
    "fail": (TaskState.FAILED,),
}
"""From the bottom to the top: trouble stands out above what went well."""


class Layer(msgspec.Struct, frozen=True):
    style: str
    path: str


class Slot(msgspec.Struct, frozen=True):
    """One bar as a link that narrows the list to its time."""

    x: int
    title: str
    url: str


class RangeForm(msgspec.Struct, frozen=True):
    """The two times that narrow the list; a drag over the strip fills them."""

    url: str
    question: str
    since: str
    until: str
    """As fields of the browser have them, in UTC."""
    from_ms: int
    bar_ms: int
    """Where the first bar begins, and how long each is."""


class StripView(msgspec.Struct, frozen=True, kw_only=True):
    width: int
    layers: tuple[Layer, ...]
    slots: tuple[Slot, ...]
    axis: tuple[Moment, ...]
    summary: str
    matches: str
    """How many there are, as far as they were counted."""
    note: str
    times: RangeForm | None
    """None until the strip is here."""
    whole_url: str
    """The way back to all times; empty where none are asked for."""
    load_url: str
    """Where the strip comes from; empty when it is here."""
    fresh_url: str


def no_strip(question: TaskFilter, project: str) -> StripView:
    """Keeps the place of a strip that is being counted."""
    url = urls.histogram(project, to_text(question))
    return StripView(
        width=BAR_WIDTH, layers=(), slots=(), axis=(), summary="", matches="", note="",
        times=None, whole_url=_whole(question, project), load_url=url, fresh_url=url,
    )  # fmt: skip


def strip_view(question: TaskFilter, found: Histogram, project: str) -> StripView:
    found = _widened(found)
    most = max((sum(bar.states.values()) for bar in found.bars), default=1)
    end_us = found.from_us + found.count * found.bar_us
    matches = plural(found.looked_at, "match", "matches")
    return StripView(
        width=found.count * BAR_WIDTH,
        layers=tuple(Layer(style, _path(found, style, most)) for style in _LAYERS),
        slots=tuple(_slot(question, found, bar, project) for bar in found.bars),
        axis=moments_between(found.from_us, end_us, 3) if found.bars else (),
        summary=f"{matches} from {utc(found.from_us)} to {utc(end_us)}, by state",
        matches=f"{count(found.looked_at)}{'' if found.is_complete else ' or more'}",
        note="" if found.is_complete else f"the newest {matches}",
        times=RangeForm(
            url=urls.time_range(project),
            question=to_text(question),
            since=iso(found.from_us)[:19],
            until=iso(end_us)[:19],
            from_ms=found.from_us // 1_000,
            bar_ms=found.bar_us // 1_000,
        ),
        whole_url=_whole(question, project),
        load_url="",
        fresh_url=urls.histogram(project, to_text(question)),
    )


def _whole(question: TaskFilter, project: str) -> str:
    if not question.times:
        return ""
    return urls.tasks(project, to_text(msgspec.structs.replace(question, times=())))


def _widened(found: Histogram) -> Histogram:
    missing = LEAST_BARS - found.count
    if missing <= 0 or not found.bars:
        return found
    return msgspec.structs.replace(
        found,
        from_us=found.from_us - missing * found.bar_us,
        count=LEAST_BARS,
        bars=[msgspec.structs.replace(bar, at=bar.at + missing) for bar in found.bars],
    )


def _path(found: Histogram, style: str, most: int) -> str:
    """A vertical stroke for each bar that has any of the layer's states."""
    below = list(_LAYERS)[: list(_LAYERS).index(style)]
    strokes: list[str] = []
    for bar in found.bars:
        low, own = (_sum(bar, layers) for layers in (below, [style]))
        if own:
            bottom, top = (HEIGHT - part * HEIGHT / most for part in (low, low + own))
            # A single failure among thousands must be seen.
            top = min(top, bottom - 1.5)
            strokes.append(f"M{bar.at * BAR_WIDTH + 5} {bottom:.1f}V{max(0, top):.1f}")
    return "".join(strokes)


def _sum(bar: HistogramBar, styles: list[str]) -> int:
    return sum(bar.states.get(state, 0) for style in styles for state in _LAYERS[style])


def _slot(question: TaskFilter, found: Histogram, bar: HistogramBar, project: str) -> Slot:
    low = found.from_us + bar.at * found.bar_us
    high = low + found.bar_us
    ends = [Instant(InstantKind.UTC, at) for at in (low, high)]
    narrowed = msgspec.structs.replace(question, times=(Period(*ends),))
    counts = joined([
        f"{number} {STATE_WORDS[state].lower()}" for state, number in bar.states.items() if number
    ])  # fmt: skip
    return Slot(
        bar.at * BAR_WIDTH,
        f"{utc(low)[:19]} UTC: {counts}",
        urls.tasks(project, to_text(narrowed)),
    )
