# SPDX-License-Identifier: AGPL-3.0-only
"""Trends: four numbers with what they were before, charts, and the task names of the same time."""

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.domain.tasks.filters import to_text
from queuedeck.domain.trends.windows import Range, Window
from queuedeck.history.filters import TaskFilter
from queuedeck.history.trends import Counts, TaskOrder, TaskTrends, Trend, TrendFilter
from queuedeck.web import urls
from queuedeck.web.format import count, duration, plural
from queuedeck.web.views.charts import Axis, Chart, Series, columns, lines, percent, shares
from queuedeck.web.views.words import Name, task_name

RANGE_WORDS = {
    Range.HOUR: ("1 h", "last hour"),
    Range.DAY: ("24 h", "last 24 hours"),
    Range.WEEK: ("7 d", "last 7 days, UTC"),
    Range.MONTH: ("30 d", "last 30 days, UTC"),
}
_NOTHING = "Nothing ended in this time."
_ORDER_WORDS = {
    TaskOrder.ENDED: "Attempts",
    TaskOrder.FAILING: "Wrong",
    TaskOrder.SHARE: "Share",
    TaskOrder.BUSY: "Busy",
}


class Tab(msgspec.Struct, frozen=True):
    label: str
    url: str
    current: bool


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number, and the same of the time before."""

    title: str
    value: str
    unit: str
    before: str
    note: str
    worse: bool = False


class FilterChip(msgspec.Struct, frozen=True):
    key: str
    value: str
    without_url: str


class TaskLine(msgspec.Struct, frozen=True, kw_only=True):
    name: Name
    url: str
    tasks_url: str
    ended: str
    failing: str
    share: str
    is_bad: bool
    wait: str
    p50: str
    p95: str
    p99: str
    busy: str
    busy_width: int
    """Of a hundred: its part of all the time that workers were busy."""


class TrendsView(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    range: str
    when: str
    ranges: tuple[Tab, ...]
    chips: tuple[FilterChip, ...]
    fields: tuple[FilterChip, ...]
    """What the form keeps and offers: key, value, and its label."""
    figures: tuple[Figure, ...]
    charts: tuple[Chart, ...]
    orders: dict[str, Tab]
    lines: tuple[TaskLine, ...]
    foot: str
    problem: str
    is_empty: bool


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says."""

    project: str
    range: Range
    filter: TrendFilter
    order: TaskOrder

    def url(self, **changes: object) -> str:
        other = msgspec.structs.replace(self, **changes)
        fields = {
            name: value for name, value in msgspec.structs.asdict(other.filter).items() if value
        }
        if other.order is not TaskOrder.ENDED:
            fields["sort"] = other.order.value
        return urls.trends(other.project, other.range.value, fields)


def trends_view(
    question: Question,
    window: Window,
    trend: Trend,
    before: Counts,
    tasks: TaskTrends,
    problem: str = "",
) -> TrendsView:
    given = {k: v for k, v in msgspec.structs.asdict(question.filter).items() if v}
    return TrendsView(
        url=urls.trends(question.project),
        range=question.range.value,
        when=RANGE_WORDS[question.range][1],
        ranges=tuple(
            Tab(words[0], question.url(range=kind), kind is question.range)
            for kind, words in RANGE_WORDS.items()
        ),
        chips=tuple(FilterChip(k, v, _without(question, k)) for k, v in given.items()),
        fields=tuple(
            FilterChip(key, given.get(key, ""), label)
            for key, label in (("task", "Task"), ("queue", "Queue"), ("worker", "Worker"))
        ),
        figures=_figures(trend.total, before, window),
        charts=_charts(trend),
        orders={
            order.value: Tab(word, question.url(order=order), order is question.order)
            for order, word in _ORDER_WORDS.items()
        },
        lines=_lines(question, tasks),
        foot=_foot(tasks),
        problem=problem,
        is_empty=not trend.total.ended and not trend.total.arrived,
    )


def _without(question: Question, key: str) -> str:
    return question.url(filter=msgspec.structs.replace(question.filter, **{key: ""}))


def _figures(now: Counts, before: Counts, window: Window) -> tuple[Figure, ...]:
    minutes = max(1.0, window.length_us / MINUTE_US)
    earlier = max(1.0, window.before().length_us / MINUTE_US)
    wrong, was = _share(now), _share(before)
    return (
        Figure(
            title="Throughput",
            value=rate(now.ended / minutes),
            unit="/ min",
            before=f"{rate(before.ended / earlier)} before" if before.ended else "",
            note=f"{plural(now.ended, 'attempt')} ended, {plural(now.arrived, 'task')} sent",
        ),
        Figure(
            title="Went wrong",
            value="" if wrong is None else percent(wrong),
            unit="",
            before="" if was is None else f"{percent(was)} before",
            note=f"{count(now.failed)} failed, {count(now.retried)} retried, "
            f"{count(now.lost)} lost",
            worse=wrong is not None and wrong > 0.01 and wrong > 2 * (was or 0),
        ),
        Figure(
            title="Wait p95",
            value=duration(now.wait.p95),
            unit="",
            before=f"{duration(before.wait.p95)} before" if before.wait.p95 is not None else "",
            note=f"p50 is {duration(now.wait.p50)}" if now.wait.n else "not measured",
        ),
        Figure(
            title="Run p95",
            value=duration(now.run.p95),
            unit="",
            before=f"{duration(before.run.p95)} before" if before.run.p95 is not None else "",
            note=f"p50 is {duration(now.run.p50)}" if now.run.n else "not measured",
        ),
    )


def rate(per_minute: float) -> str:
    if per_minute >= 10:
        return count(round(per_minute))
    return f"{per_minute:.1f}" if per_minute >= 0.1 or not per_minute else "<0.1"


def _share(counts: Counts) -> float | None:
    return counts.failing / counts.ended if counts.ended else None


def _charts(trend: Trend) -> tuple[Chart, ...]:
    axis = Axis(trend.since_us, trend.step_us, len(trend.points))
    step = duration(trend.step_us).replace(" 00 s", "").replace(" 00 m", "")
    total, points = trend.total, trend.points
    outcomes = [
        Series("c-ok", "Succeeded", [p.succeeded for p in points], count(total.succeeded)),
        Series("c-retry", "Retried", [p.retried for p in points], count(total.retried)),
        Series("c-fail", "Failed", [p.failed for p in points], count(total.failed)),
        Series("c-lost", "Lost", [p.lost for p in points], count(total.lost)),
        Series("c-stop", "Cancelled", [p.cancelled for p in points], count(total.cancelled)),
    ]
    seen = [one for one in outcomes if one.total != "0"] or outcomes[:1]
    share = _share(total)
    wrong = Series(
        "l-fail",
        "Went wrong",
        [_share(p) for p in points],
        "unknown" if share is None else percent(share),
    )
    return (
        columns("outcomes", "Outcomes", f"attempts per {step}", seen, axis, _NOTHING),
        shares("wrong", "Went wrong", "share of attempts", wrong, axis, _NOTHING),
        lines(
            "wait", "Wait", "from due to started", _spreads(trend, "wait"), axis, "Not measured."
        ),
        lines(
            "run", "Run", "as workers measured it", _spreads(trend, "run"), axis, "Not measured."
        ),
    )


def _spreads(trend: Trend, field: str) -> list[Series]:
    return [
        Series(
            f"l-{name}",
            name,
            [getattr(getattr(point, field), name) for point in trend.points],
            duration(getattr(getattr(trend.total, field), name)) or "unknown",
        )
        for name in ("p50", "p95", "p99")
    ]


def _lines(question: Question, tasks: TaskTrends) -> tuple[TaskLine, ...]:
    busy = sum(task.counts.busy_us for task in tasks.tasks) or 1
    return tuple(
        TaskLine(
            name=task_name(task.name),
            url=question.url(filter=TrendFilter(task=task.name)) if task.name else "",
            tasks_url=_tasks_url(question.project, task.name),
            ended=count(task.counts.ended),
            failing=count(task.counts.failing),
            share=percent(_share(task.counts) or 0),
            is_bad=(_share(task.counts) or 0) >= 0.05,
            wait=duration(task.counts.wait.p95),
            p50=duration(task.counts.run.p50),
            p95=duration(task.counts.run.p95),
            p99=duration(task.counts.run.p99),
            busy=percent(task.counts.busy_us / busy),
            busy_width=round(100 * task.counts.busy_us / busy),
        )
        for task in tasks.tasks
    )


def _tasks_url(project: str, name: str) -> str:
    return urls.tasks(project, to_text(TaskFilter(names=(name,) if name else ())))


def _foot(tasks: TaskTrends) -> str:
    parts: list[str] = []
    if tasks.more:
        parts.append(f"{plural(tasks.more, 'more task name')} not shown")
    if tasks.other:
        parts.append(f"{plural(tasks.other, 'attempt')} of names beyond the bound are in no line")
    return "; ".join(parts)
