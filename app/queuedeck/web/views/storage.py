# SPDX-License-Identifier: AGPL-3.0-only
"""The storage page: what the project takes, what it will take, and the form that says how long."""

from datetime import UTC, datetime

import msgspec

from queuedeck.clock import DAY_US, SECOND_US
from queuedeck.domain.projects.storage import Storage
from queuedeck.history.rollups import KEPT_DAYS
from queuedeck.web.format import count, plural, size


class Figure(msgspec.Struct, frozen=True):
    title: str
    value: str
    note: str


class DayLine(msgspec.Struct, frozen=True):
    day: str
    tasks: str
    size: str
    width: int
    """Of a hundred: beside the largest day."""


class StorageView(msgspec.Struct, frozen=True, kw_only=True):
    figures: tuple[Figure, ...]
    lines: tuple[DayLine, ...]
    may_change: bool
    server_days: int
    task_days: str
    payload_days: str
    count_days: str
    most_count_days: int = KEPT_DAYS
    error: str = ""


def storage_view(
    found: Storage, *, may_change: bool, error: str = "", given: tuple[str, str, str] | None = None
) -> StorageView:
    largest = max((day.bytes for day in found.days), default=0)
    kept = found.retention
    chosen = (_days(kept.task_days), _days(kept.payload_days), _days(kept.count_days))
    task_days, payload_days, count_days = given or chosen
    return StorageView(
        figures=_figures(found),
        lines=tuple(
            DayLine(
                _date(one.day),
                count(one.tasks),
                size(one.bytes),
                one.bytes * 100 // max(largest, 1),
            )
            for one in reversed(found.days)
        ),
        may_change=may_change,
        server_days=found.server_days,
        task_days=task_days,
        payload_days=payload_days,
        count_days=count_days,
        error=error,
    )


def _figures(found: Storage) -> tuple[Figure, ...]:
    expected = size(found.bytes_expected) if found.bytes_expected else "–"
    a_day = f"{size(found.bytes_a_day)} a day lately" if found.bytes_a_day else "no whole day yet"
    kept = found.retention.task_days or found.server_days
    return (
        Figure("Tasks kept", count(found.tasks), plural(len(found.days), "day")),
        Figure("On disk, estimated", size(found.bytes), "without the search index"),
        Figure(f"After {plural(kept, 'day')} like the last", expected, a_day),
    )


def _days(days: int | None) -> str:
    return "" if days is None else str(days)


def _date(day: int) -> str:
    return f"{datetime.fromtimestamp(day * DAY_US // SECOND_US, UTC):%a %d %b %Y}"
