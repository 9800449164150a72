# SPDX-License-Identifier: AGPL-3.0-only
"""One command's outcome, as a partial for the page that asked for it."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.queries import find_command
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services
from queuedeck.web.rendering import html, render
from queuedeck.web.views.commands import command_view


@get(
    "/p/{project:str}/commands/{command_id:str}",
    guards=[requires(Permission.READ_TASKS)],
)
async def show_command(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    command_id: FromPath[str],
) -> Response[Any]:
    command = await find_command(services.control, access.project.id, command_id)
    view = command_view(command, access.project.slug, services.clock())
    return html(render("commands/_status.html", command=view))


ROUTES = [show_command]
