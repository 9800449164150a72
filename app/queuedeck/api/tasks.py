# SPDX-License-Identifier: AGPL-3.0-only
"""Tasks for programs: list, show, totals."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from queuedeck.api.views import (
    TaskAnswer,
    TaskList,
    TotalsAnswer,
    answer_of,
    errors,
    summary_of,
)
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.tables import MEDIA_TYPES
from queuedeck.domain.tasks.export import lines
from queuedeck.domain.tasks.filters import parse
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.errors import NotFound
from queuedeck.history.surveys import FacetCounts, Histogram

Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many, at most.")]


@get(
    "/tasks",
    guards=[requires(Permission.READ_TASKS)],
    summary="List tasks, newest first",
    responses=errors(422),
)
async def list_tasks(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    q: FromQuery[str] = "",
    limit: Limit = 50,
    after: FromQuery[str] = "",
) -> TaskList:
    page = await services.history.list_tasks(access.project.id, parse(q), limit, after)
    rows = [summary_of(row) for row in page.tasks]
    return TaskList(rows, page.after or None, page.complete, page.back_to_us)


@get(
    "/tasks/facets",
    guards=[requires(Permission.READ_TASKS)],
    summary="Count the newest matches by what they are",
    responses=errors(),
)
async def count_facets(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> dict[str, FacetCounts]:
    return (await services.history.facets(access.project.id, parse(q))).by_key


@get(
    "/tasks/histogram",
    guards=[requires(Permission.READ_TASKS)],
    summary="Count the newest matches over time",
    responses=errors(),
)
async def show_histogram(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> Histogram:
    return await services.history.histogram(access.project.id, parse(q))


@get(
    "/tasks.csv",
    guards=[requires(Permission.READ_TASKS)],
    media_type=MEDIA_TYPES["csv"],
    summary="Write the newest matches as CSV, up to 10,000",
    responses=errors(422),
)
async def export_tasks(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> Stream:
    file = await lines(services.history, access.project.id, parse(q), "csv")
    return Stream(file, media_type=MEDIA_TYPES["csv"])


@get(
    "/tasks/{engine:str}/{task_id:str}",
    guards=[requires(Permission.READ_TASKS)],
    summary="Show one task",
    responses=errors(422),
)
async def show_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> TaskAnswer:
    detail = await services.history.find_task(
        access.project.id, engine, decode_id(task_id), key=key
    )
    if detail is None:
        raise NotFound
    return answer_of(detail)


@get(
    "/totals",
    guards=[requires(Permission.READ_TASKS)],
    summary="Count events and tasks",
    responses=errors(),
)
async def show_totals(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> TotalsAnswer:
    totals = await services.history.totals(access.project.id)
    return msgspec.convert(totals, TotalsAnswer, from_attributes=True)
