# SPDX-License-Identifier: AGPL-3.0-only
"""The queues of a project: what waits, since when, what comes and leaves, who consumes."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.overview import queue_lines
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.queues import queues_view


@get("/p/{project:str}/queues", guards=[requires(Permission.READ_TASKS)])
async def list_queues(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    s = services
    lines = await queue_lines(s.history, s.registry, s.watches, s.clock, access.project.id)
    can_connect = access.allows(Permission.CONNECT_AGENTS)
    view = queues_view(lines, access.project.slug, s.clock(), can_connect)
    shell = await frame(
        request, services, identity, access, title="Queues", place="Queues", topics=("queues",)
    )
    return page(request, "queues/list.html", shell, view)


ROUTES = [list_queues]
