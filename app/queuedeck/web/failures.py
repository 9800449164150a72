# SPDX-License-Identifier: AGPL-3.0-only
"""What fails: failed attempts that are the same failure, together."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from queuedeck.clock import MINUTE_US
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid, NotFound
from queuedeck.history.failures import FailureOrder
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.failures import DEFAULT_RANGE, RANGES, failure_view, failures_view

SHOWN_GROUPS = 100


@get("/p/{project:str}/errors", guards=[requires(Permission.READ_TASKS)])
async def list_failures(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    range: FromQuery[str] = DEFAULT_RANGE,
    sort: FromQuery[FailureOrder] = FailureOrder.LAST,
) -> Response[Any]:
    if range not in RANGES:
        raise Invalid(f"There is no range {range!r}. Use {', '.join(RANGES)}.")
    now_us, hours = services.clock(), RANGES[range][1]
    since_us = now_us - hours * 60 * MINUTE_US if hours else 0
    found = await services.history.failure_groups(access.project.id, sort, since_us, SHOWN_GROUPS)
    view = failures_view(found, access.project.slug, range, sort, now_us)
    shell = await frame(request, services, identity, access, title="Errors", place="Errors")
    return page(request, "failures/list.html", shell, view)


@get("/p/{project:str}/errors/{group:str}", guards=[requires(Permission.READ_TASKS)])
async def show_failure(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    group: FromPath[str],
) -> Response[Any]:
    number = read_number(group)
    found = await services.history.failure_group(access.project.id, number)
    if found is None:
        raise NotFound("There is no such failure in this project.")
    view = failure_view(
        found,
        access.project.slug,
        services.clock(),
        may_retry=access.allows(Permission.RUN_OPERATIONS),
    )
    shell = await frame(
        request, services, identity, access, title=view.group.exception, place="Errors"
    )
    return page(request, "failures/show.html", shell, view)


ROUTES = [list_failures, show_failure]
