# SPDX-License-Identifier: AGPL-3.0-only
"""Counts over time and failure groups for programs."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from queuedeck.api.views import TaskSummary, errors, summary_of
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.trends.windows import Range, window
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services
from queuedeck.errors import NotFound
from queuedeck.history.failures import FailureGroup, FailureOrder
from queuedeck.history.tasks import Attempt
from queuedeck.history.trends import Counts, TaskOrder, TaskTrend, TrendFilter

Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many, at most.")]
Instant = Annotated[int | None, QueryParameter(ge=0, description="Microseconds, UTC.")]


class TrendAnswer(msgspec.Struct, frozen=True, kw_only=True):
    since_us: int
    step_us: int
    points: list[Counts]
    """Oldest first; each is as long as a step."""
    total: Counts


class TaskTrendList(msgspec.Struct, frozen=True, kw_only=True):
    tasks: list[TaskTrend]
    more: int
    other: int


class FailureList(msgspec.Struct, frozen=True, kw_only=True):
    errors: list[FailureGroup]
    total: int


class FailureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    error: FailureGroup
    since_us: int
    hours: list[int]
    """Failed attempts for each hour from `since_us`."""
    queues: list[tuple[str, int]]
    releases: list[tuple[str, int]]
    tasks: list[TaskSummary]
    sample: Attempt | None


@get(
    "/trends",
    guards=[requires(Permission.READ_TASKS)],
    summary="Counts and percentiles over time",
    responses=errors(422),
)
async def show_trend(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    range: FromQuery[Range] = Range.DAY,
    since_us: Instant = None,
    until_us: Instant = None,
    step_us: Instant = None,
    task: FromQuery[str] = "",
    queue: FromQuery[str] = "",
    engine: FromQuery[str] = "",
    release: FromQuery[str] = "",
    worker: FromQuery[str] = "",
) -> TrendAnswer:
    usual = window(range, services.clock())
    trend = await services.history.trend(
        access.project.id,
        usual.since_us if since_us is None else since_us,
        usual.until_us if until_us is None else until_us,
        usual.step_us if step_us is None else step_us,
        TrendFilter(task=task, queue=queue, engine=engine, release=release, worker=worker),
    )
    return msgspec.convert(trend, TrendAnswer, from_attributes=True)


@get(
    "/trends/tasks",
    guards=[requires(Permission.READ_TASKS)],
    summary="Counts and percentiles of each task name",
    responses=errors(422),
)
async def list_task_trends(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    range: FromQuery[Range] = Range.DAY,
    sort: FromQuery[TaskOrder] = TaskOrder.ENDED,
    limit: Limit = 50,
) -> TaskTrendList:
    asked = window(range, services.clock())
    found = await services.history.task_trends(
        access.project.id, asked.since_us, asked.until_us, asked.sum_step_us, sort, limit
    )
    return TaskTrendList(tasks=found.tasks, more=found.more, other=found.other)


@get(
    "/errors",
    guards=[requires(Permission.READ_TASKS)],
    summary="List failures, those that are the same together",
    responses=errors(422),
)
async def list_failures(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    since_us: Instant = None,
    sort: FromQuery[FailureOrder] = FailureOrder.LAST,
    limit: Limit = 50,
) -> FailureList:
    found = await services.history.failure_groups(access.project.id, sort, since_us or 0, limit)
    return FailureList(errors=found.groups, total=found.total)


@get(
    "/errors/{group:str}",
    guards=[requires(Permission.READ_TASKS)],
    summary="Show one failure with its newest tasks",
    responses=errors(422),
)
async def show_failure(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    group: FromPath[str],
) -> FailureAnswer:
    found = await services.history.failure_group(access.project.id, read_number(group))
    if found is None:
        raise NotFound
    return FailureAnswer(
        error=found.group,
        since_us=found.since_us,
        hours=found.hours,
        queues=found.queues,
        releases=found.releases,
        tasks=[summary_of(row) for row in found.tasks],
        sample=found.sample,
    )
