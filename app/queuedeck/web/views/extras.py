# SPDX-License-Identifier: AGPL-3.0-only
"""What a task said beside its states: how far it is, its tags, the lines of its log."""

import msgspec

from queuedeck.domain.tasks.filters import to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import Attempt, LoggedLine, Progress
from queuedeck.web import urls
from queuedeck.web.format import Moment, count, moment_ago, moment_clock, plural


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    """`1 200 of 5 000`, or `1 200` where no total is known."""
    share: str
    """`24 %`; empty where no total is known."""
    value: str
    """For the bar, of 100; empty where there is none."""
    message: str
    moment: Moment
    note: str
    """Which attempt said it, when there were several."""


class TagLink(msgspec.Struct, frozen=True):
    text: str
    url: str


class LineView(msgspec.Struct, frozen=True):
    moment: Moment
    level: str
    logger: str
    text: str
    more: str
    """What stands below the first line: a traceback, most often."""


class LogView(msgspec.Struct, frozen=True):
    lines: tuple[LineView, ...]
    count: str
    note: str
    """What is not here, if anything."""


class TraceLink(msgspec.Struct, frozen=True):
    trace_id: str
    url: str
    """To the tasks of the same trace."""


LEVELS = ("debug", "info", "warning", "error")


def progress_view(progress: Progress | None, now_us: int, attempts: int = 1) -> ProgressView | None:
    """None where the task never said how far it is."""
    if progress is None:
        return None
    share = _share(progress)
    text = _amount(progress.current)
    if progress.total is not None:
        text = f"{text} of {_amount(progress.total)}"
    return ProgressView(
        text=text,
        share="" if share is None else f"{int(share)} %",
        value="" if share is None else f"{share:.1f}",
        message=progress.message,
        moment=moment_ago(progress.at_us, now_us),
        note=f"attempt {progress.attempt}" if attempts > 1 else "",
    )


def tag_links(tags: tuple[str, ...], project: str) -> tuple[TagLink, ...]:
    """Each leads to the tasks with the same tag."""
    return tuple(
        TagLink(tag, urls.tasks(project, to_text(TaskFilter(tags=(tag,))))) for tag in tags
    )


def log_view(attempt: Attempt) -> LogView | None:
    """None where nothing was recorded, nor left out."""
    if not attempt.lines and not attempt.lines_left_out:
        return None
    left_out = attempt.lines_left_out
    return LogView(
        tuple(_line(line) for line in attempt.lines),
        plural(len(attempt.lines), "line"),
        f"{plural(left_out, 'line')} more left out: beyond the limits" if left_out else "",
    )


def trace_link(attempt: Attempt, project: str) -> TraceLink | None:
    if not attempt.trace_id:
        return None
    question = to_text(TaskFilter(traces=(attempt.trace_id,)))
    return TraceLink(attempt.trace_id, urls.tasks(project, question))


def _line(line: LoggedLine) -> LineView:
    first, _, more = line.text.partition("\n")
    return LineView(moment_clock(line.at_us), _level(line.level), line.logger, first, more)


def _level(number: int) -> str:
    """Levels of one's own count as the next lower known one."""
    return LEVELS[max(0, min(number // 10 - 1, len(LEVELS) - 1))]


def _share(progress: Progress) -> float | None:
    """In per cent, rounded down: what is not done is not 100."""
    if not progress.total:
        return None
    return min(100.0, progress.current * 100 / progress.total)


def _amount(number: float) -> str:
    """Whole numbers as such, others with two places."""
    if number == int(number) and number < 1e15:
        return count(int(number))
    return f"{number:.4g}" if number >= 1e15 else f"{number:.2f}"
