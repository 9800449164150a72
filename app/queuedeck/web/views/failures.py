# SPDX-License-Identifier: AGPL-3.0-only
"""Failure groups: the list, and one group with its course, where it happens and a sample."""

import msgspec

from queuedeck.clock import MINUTE_US
from queuedeck.history.failures import (
    FailureDetail,
    FailureGroup,
    FailureGroups,
    FailureOf,
    FailureOrder,
)
from queuedeck.web import urls
from queuedeck.web.format import Moment, count, moment_ago, moment_clock, plural
from queuedeck.web.tracebacks import Trace, read_traceback
from queuedeck.web.views.charts import Axis, Chart, Series, columns, percent, spark
from queuedeck.web.views.operation_list import preview_url
from queuedeck.web.views.taskline import TaskLine, task_line
from queuedeck.web.views.words import Empty, Link, task_name

RANGES = {"24h": ("24 h", 24), "7d": ("7 d", 7 * 24), "30d": ("30 d", 30 * 24), "all": ("All", 0)}
DEFAULT_RANGE = "7d"
_HOUR_US = 60 * MINUTE_US
_ORDERS = {
    FailureOrder.LAST: "Last seen",
    FailureOrder.COUNT: "Attempts",
    FailureOrder.FIRST: "First seen",
}


class Tab(msgspec.Struct, frozen=True):
    label: str
    url: str
    current: bool


class GroupLine(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    url: str
    exception: str
    """Without its module."""
    full: str
    message: str
    culprit: str
    names: str
    spark: str
    recent: str
    attempts: str
    tasks: str
    recovered: str
    first: Moment
    last: Moment
    is_new: bool
    """First seen in the last day."""


class FailuresView(msgspec.Struct, frozen=True, kw_only=True):
    total: str
    ranges: tuple[Tab, ...]
    orders: dict[str, Tab]
    lines: tuple[GroupLine, ...]
    foot: str
    empty: Empty | None


class ShareLine(msgspec.Struct, frozen=True):
    word: str
    url: str
    share: str
    width: int


class Shares(msgspec.Struct, frozen=True):
    title: str
    lines: tuple[ShareLine, ...]


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    group: GroupLine
    back_url: str
    tasks_url: str
    retry_url: str
    """To the preview of an operation; empty for who may not."""
    chart: Chart
    shares: tuple[Shares, ...]
    sample: str
    sample_url: str
    message: str
    traceback: Trace | None
    lines: tuple[TaskLine, ...]


def failures_view(
    found: FailureGroups, project: str, shown: str, order: FailureOrder, now_us: int
) -> FailuresView:
    def url(kind: str, by: FailureOrder) -> str:
        fields = {"range": kind} if kind != DEFAULT_RANGE else {}
        fields |= {"sort": by.value} if by is not FailureOrder.LAST else {}
        return urls.failures(project, fields)

    rest = found.total - len(found.groups)
    return FailuresView(
        total=plural(found.total, "kind of failure", "kinds of failures") if found.total else "",
        ranges=tuple(
            Tab(words[0], url(kind, order), kind == shown) for kind, words in RANGES.items()
        ),
        orders={by.value: Tab(word, url(shown, by), by is order) for by, word in _ORDERS.items()},
        lines=tuple(group_line(group, project, now_us) for group in found.groups),
        foot=f"{count(rest)} more not shown" if rest > 0 else "",
        empty=None if found.groups else _empty(project, shown),
    )


def _empty(project: str, shown: str) -> Empty:
    if shown == "all":
        text = "When an attempt fails, it appears here, together with all that fail the same way."
        return Empty("succeeded", "Nothing has failed yet", text)
    ways = (Link("Show all", urls.failures(project, {"range": "all"})),)
    return Empty("succeeded", "Nothing failed in this time", "", ways)


def group_line(group: FailureGroup, project: str, now_us: int) -> GroupLine:
    names = [task_name(name).function for name, _ in group.names]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return GroupLine(
        id=group.id,
        url=urls.failure(project, group.id),
        exception=group.exception.rpartition(".")[2] or "Failed",
        full=group.exception or "No exception was told",
        message=group.message,
        culprit=group.culprit,
        names=", ".join(names[:2]) + more,
        spark=spark(group.recent),
        recent=f"{plural(sum(group.recent), 'attempt')} in the last 24 hours",
        attempts=count(group.attempts),
        tasks=count(group.tasks),
        recovered=percent(group.recovered / group.tasks) if group.tasks else "",
        first=moment_ago(group.first_us, now_us),
        last=moment_ago(group.last_us, now_us),
        is_new=now_us - group.first_us < 24 * _HOUR_US,
    )


def failure_view(
    found: FailureDetail, project: str, now_us: int, *, may_retry: bool = False
) -> FailureView:
    group = found.group
    short = group.exception.rpartition(".")[2]
    question = _of_group(group.fingerprint)
    sample = found.sample
    newest = found.tasks[0] if found.tasks else None
    return FailureView(
        group=group_line(group, project, now_us),
        back_url=urls.failures(project),
        tasks_url=urls.tasks(project, question),
        retry_url=(
            preview_url(project, verb="retry", q=f"state:failed {question}") if may_retry else ""
        ),
        chart=_course(found),
        shares=_shares(found, project),
        sample="" if sample is None else _told(found),
        sample_url=(
            urls.task(project, newest.engine, newest.task_id, key=newest.key) if newest else ""
        ),
        message="" if sample is None else sample.message,
        traceback=(
            None if sample is None else read_traceback(sample.traceback, short, sample.message)
        ),
        lines=tuple(task_line(row, project, now_us) for row in found.tasks),
    )


def _told(found: FailureDetail) -> str:
    sample = found.sample
    if sample is None:
        return ""
    at = f", {moment_clock(sample.finished_us).title}" if sample.finished_us else ""
    where = f" on {sample.worker}" if sample.worker else ""
    return f"attempt {sample.number} of the newest task{where}{at}"


def _course(found: FailureDetail) -> Chart:
    """Seven days in steps of two hours."""
    first = found.since_us // _HOUR_US % 2
    hours = [0] * first + found.hours
    hours += [0] * (len(hours) % 2)
    steps = [hours[n] + hours[n + 1] for n in range(0, len(hours), 2)]
    axis = Axis(found.since_us - first * _HOUR_US, 2 * _HOUR_US, len(steps))
    series = Series("c-fail", "Attempts", steps, count(sum(steps)))
    note = "failed attempts per 2 h, last 7 days"
    return columns("course", "Course", note, [series], axis, "None in the last 7 days.")


def _shares(found: FailureDetail, project: str) -> tuple[Shares, ...]:
    names = [(word, n, urls.trends(project, "", {"task": word})) for word, n in found.group.names]
    queues = [(word, n, urls.trends(project, "", {"queue": word})) for word, n in found.queues]
    releases = [
        (word, n, urls.trends(project, "", {"release": word})) for word, n in found.releases
    ]
    return tuple(
        Shares(title, tuple(_share(*line, found.group.attempts) for line in lines))
        for title, lines in (("Task names", names), ("Queues", queues), ("Releases", releases))
        if lines
    )


def _share(word: str, n: int, url: str, total: int) -> ShareLine:
    share = n / total if total else 0
    return ShareLine(word, url, f"{count(n)}, {percent(share)}", round(100 * share))


def _of_group(fingerprint: str) -> str:
    return f"group:{fingerprint}"


class SameError(msgspec.Struct, frozen=True):
    """What the page of a task says about its failure."""

    text: str
    url: str
    tasks_url: str
    """The tasks that failed so."""


def same_error(project: str, failure: FailureOf) -> SameError:
    recent = failure.recent
    others = "only this once" if recent == 1 else f"{count(recent)} times in 24 h"
    return SameError(
        f"Same error {others}",
        urls.failure(project, failure.group),
        urls.tasks(project, _of_group(failure.fingerprint)),
    )
