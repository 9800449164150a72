# SPDX-License-Identifier: AGPL-3.0-only
"""`/`: the first project's tasks, or the connect page while there is nothing to see."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.response import Redirect

from queuedeck.domain.accounts.permissions import Permission, allows
from queuedeck.domain.projects.queries import projects_of_user
from queuedeck.entrance.guards import signed_in
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.errors import Forbidden
from queuedeck.web import urls


@get("/", guards=[signed_in()])
async def home(
    services: NamedDependency[Services], identity: NamedDependency[Identity]
) -> Response[Any]:
    found = await projects_of_user(services.control, int(identity.actor.id))
    if not found:
        raise Forbidden("You are not a member of any project yet. Ask an owner to add you.")
    first = found[0]
    totals = await services.history.totals(first.project.id)
    is_new = not totals.events and services.registry.is_empty(first.project.id)
    may_connect = allows(first.role, Permission.CONNECT_AGENTS)
    page = urls.connect if is_new and may_connect else urls.tasks
    return Redirect(page(first.project.slug), status_code=303)


ROUTES = [home]
