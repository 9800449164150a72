# SPDX-License-Identifier: AGPL-3.0-only
"""The present filter's tasks as a file."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Stream

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.tables import MEDIA_TYPES
from queuedeck.domain.tasks.export import lines
from queuedeck.domain.tasks.filters import parse
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services


@get("/p/{project:str}/tasks/export.csv", guards=[requires(Permission.READ_TASKS)])
async def export_csv(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> Stream:
    return await _file(services, access, q, "csv")


@get("/p/{project:str}/tasks/export.json", guards=[requires(Permission.READ_TASKS)])
async def export_json(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> Stream:
    return await _file(services, access, q, "json")


async def _file(services: Services, access: Access, text: str, kind: str) -> Stream:
    name = f"tasks-{access.project.slug}.{kind}"
    return Stream(
        await lines(services.history, access.project.id, parse(text), kind),
        media_type=MEDIA_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


ROUTES = [export_csv, export_json]
