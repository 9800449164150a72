# SPDX-License-Identifier: AGPL-3.0-only
"""Every component on one page, in development only."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from queuedeck.entrance.guards import public
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import NotFound
from queuedeck.web.rendering import html, render, theme_of
from queuedeck.web.views.samples import styleguide_view


@get("/styleguide", guards=[public()])
async def show_styleguide(
    request: AnyRequest, services: NamedDependency[Services], theme: FromQuery[str] = ""
) -> Response[Any]:
    if not services.settings.development:
        raise NotFound
    view = styleguide_view(services.clock(), theme or theme_of(request))
    return html(
        render("styleguide/show.html", layout="layouts/page.html", shell=view.shell, view=view)
    )


ROUTES = [show_styleguide]
