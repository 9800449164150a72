# SPDX-License-Identifier: AGPL-3.0-only
"""What a project takes on disk, day by day, and what it would take with other retention."""

from typing import Protocol

import msgspec

from queuedeck.clock import DAY_US, Clock
from queuedeck.db.engine import ControlDb
from queuedeck.domain.projects.retention import Retention, find_retention
from queuedeck.history.retention import DayUsage
from queuedeck.history.store import History
from queuedeck.settings import Settings

LATELY_DAYS = 7
"""The estimate goes by so many whole days before today."""


class StorageDesk(Protocol):
    """What is needed to look; the entrances' `Services` fits."""

    @property
    def control(self) -> ControlDb: ...
    @property
    def history(self) -> History: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are estimates in bytes, made when tasks were written: indexes are in them, the search
    index and free space of the files are not."""

    retention: Retention
    server_days: int
    """For how long this server keeps tasks at most."""
    tasks: int
    bytes: int
    bytes_a_day: int
    """In the middle of the last days, today left out; 0 where there was none."""
    bytes_expected: int
    """What the project comes to, should all days be like the last ones."""
    days: list[DayUsage]
    """Oldest first; days without a task are left out."""


async def storage_of(desk: StorageDesk, project_id: int) -> Storage:
    days = await desk.history.usage(project_id)
    retention = await find_retention(desk.control, project_id)
    kept = min(retention.task_days or desk.settings.retention_days, desk.settings.retention_days)
    today = desk.clock() // DAY_US
    lately = [one.bytes for one in days if today - LATELY_DAYS <= one.day < today]
    a_day = sum(lately) // LATELY_DAYS if len(lately) == LATELY_DAYS else _mean(lately)
    return Storage(
        retention=retention,
        server_days=desk.settings.retention_days,
        tasks=sum(one.tasks for one in days),
        bytes=sum(one.bytes for one in days),
        bytes_a_day=a_day,
        bytes_expected=a_day * kept,
        days=days,
    )


def _mean(sizes: list[int]) -> int:
    """Of a young project: of the days that it has."""
    return sum(sizes) // len(sizes) if sizes else 0
