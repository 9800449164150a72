# SPDX-License-Identifier: AGPL-3.0-only
"""The agents of a project: who is connected, and what the operator should know."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.agents import agents_view


@get("/p/{project:str}/agents", guards=[requires(Permission.READ_AGENTS)])
async def list_agents(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    agents = services.registry.agents(access.project.id)
    can_connect = access.allows(Permission.CONNECT_AGENTS)
    truth = services.truths.of(
        access.project.id, services.clock(), services.settings.reconcile_every_s
    )
    view = agents_view(agents, access.project.slug, services.clock(), can_connect, truth)
    shell = await frame(
        request, services, identity, access, title="Agents", place="Agents", topics=("agents",)
    )
    return page(request, "agents/list.html", shell, view)


ROUTES = [list_agents]
