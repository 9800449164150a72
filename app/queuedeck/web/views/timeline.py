# SPDX-License-Identifier: AGPL-3.0-only
"""Events of a task in words, oldest first, with the time since the one before."""

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.history.tasks import TimelineEntry
from queuedeck.web.format import Moment, duration, moment_clock

_WORDS = {
    "task-published": ("queued", "Sent to the broker"),
    "task-received": ("queued", "Taken by a worker"),
    "task-started": ("running", "Started"),
    "task-succeeded": ("succeeded", "Succeeded"),
    "task-failed": ("failed", "Failed"),
    "task-retrying": ("retrying", "Will be tried again"),
    "task-cancelled": ("cancelled", "Cancelled"),
    "task-lost": ("lost", "Lost: its process vanished"),
    "task-checked": ("queued", "Reconciled"),
}


class TimelineLine(msgspec.Struct, frozen=True):
    moment: Moment
    state: str
    text: str
    after: str
    detail: str


def timeline(entries: list[TimelineEntry]) -> tuple[TimelineLine, ...]:
    lines: list[TimelineLine] = []
    before: int | None = None
    for entry in entries:
        state, word = _WORDS.get(entry.kind, ("queued", entry.kind.replace("-", " ")))
        if entry.attempt > 1:
            word = f"{word}, attempt {entry.attempt}"
        worker = f"{entry.worker}: " if entry.worker and entry.detail else entry.worker
        detail = worker + entry.detail
        after = _after(before, entry.at_us)
        lines.append(TimelineLine(moment_clock(entry.at_us), state, word, after, detail))
        before = entry.at_us
    return tuple(lines)


def _after(before: int | None, at_us: int) -> str:
    if before is None:
        return ""
    if at_us < before - SECOND_US:
        return f"{duration(before - at_us)} earlier, by the clock of another host"
    return f"+{duration(max(0, at_us - before))}"
