# SPDX-License-Identifier: AGPL-3.0-only
"""What the filter box offers while somebody types."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.tasks.filters import parse
from queuedeck.domain.tasks.suggest import mistake, suggest
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services
from queuedeck.web.rendering import html, render
from queuedeck.web.views.suggestions import suggestions_view


@get("/p/{project:str}/tasks/suggestions", guards=[requires(Permission.READ_TASKS)])
async def show_suggestions(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    q: FromQuery[str] = "",
    kept: FromQuery[str] = "",
) -> Response[str]:
    async def answer() -> str:
        wrong = mistake(q, kept)
        found = [] if wrong else await suggest(services.history, access.project.id, q, parse(kept))
        return render("tasks/_suggestions.html", view=suggestions_view(found, wrong, q))

    return html(await services.shared.get(access.project.id, ("suggestions", q, kept), answer))


ROUTES = [show_suggestions]
