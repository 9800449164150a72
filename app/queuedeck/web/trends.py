# SPDX-License-Identifier: AGPL-3.0-only
"""Throughput, waits, run times and failures over time, read from the rollups."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.trends.windows import Range, window
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.history.trends import TaskOrder, TrendFilter
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.trends import Question, TrendsView, trends_view

SHOWN_TASKS = 25


@get("/p/{project:str}/trends", guards=[requires(Permission.READ_TASKS)])
async def show_trends(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    range: FromQuery[Range | None] = None,
    task: FromQuery[str] = "",
    queue: FromQuery[str] = "",
    engine: FromQuery[str] = "",
    release: FromQuery[str] = "",
    worker: FromQuery[str] = "",
    sort: FromQuery[TaskOrder] = TaskOrder.ENDED,
) -> Response[Any]:
    given = TrendFilter(
        task=task.strip(),
        queue=queue.strip(),
        engine=engine.strip(),
        release=release.strip(),
        worker=worker.strip(),
    )
    shown = range or await _usual_range(services, access.project.id)
    asked = Question(project=access.project.slug, range=shown, filter=given, order=sort)
    view = await _view(services, access.project.id, asked)
    shell = await frame(request, services, identity, access, title="Trends", place="Trends")
    return page(request, "trends/show.html", shell, view)


async def _usual_range(services: Services, project_id: int) -> Range:
    """A day, or an hour where nothing is older: a chart of a day would be empty but for its end."""
    day, hour = (window(kind, services.clock()) for kind in (Range.DAY, Range.HOUR))
    before_us = hour.since_us - hour.since_us % day.sum_step_us
    older = await services.history.trend(
        project_id, day.since_us, before_us, day.sum_step_us, TrendFilter()
    )
    return Range.DAY if older.total.ended else Range.HOUR


async def _view(services: Services, project_id: int, asked: Question) -> TrendsView:
    history, problem = services.history, ""
    if asked.filter.worker and asked.filter != TrendFilter(worker=asked.filter.worker):
        problem = "A worker cannot be combined with other filters: it is shown alone."
        asked = Question(
            project=asked.project,
            range=asked.range,
            filter=TrendFilter(worker=asked.filter.worker),
            order=asked.order,
        )
    now = window(asked.range, services.clock())
    before = now.before()
    trend = await history.trend(project_id, now.since_us, now.until_us, now.step_us, asked.filter)
    earlier = await history.trend(
        project_id, before.since_us, before.until_us, before.sum_step_us, asked.filter
    )
    tasks = await history.task_trends(
        project_id, now.since_us, now.until_us, now.sum_step_us, asked.order, SHOWN_TASKS
    )
    return trends_view(asked, now, trend, earlier.total, tasks, problem)


ROUTES = [show_trends]
