# SPDX-License-Identifier: AGPL-3.0-only
"""Saved views: open one, keep the present filter as one, remove one."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.savedviews.service import find_view, remove_view, save_view, views_of
from queuedeck.domain.savedviews.system import SYSTEM_VIEWS
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Conflict, Invalid
from queuedeck.web import urls
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.savedviews import ViewsMenu, saved_views_view, views_menu

PATH = "/p/{project:str}/views"
COOKIE = "view"
"""Remembers, for one project, which view this browser opened last."""
_YEAR_S = 365 * 86_400


class SaveForm(msgspec.Struct, frozen=True):
    name: str = ""
    q: str = ""
    team: str = ""
    """Not empty: for everybody in the project."""


@get(PATH, guards=[requires(Permission.READ_TASKS)])
async def list_views(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    q: FromQuery[str] = "",
) -> Response[Any]:
    return await _answer(request, services, identity, access, SaveForm(q=q))


@post(PATH, guards=[requires(Permission.READ_TASKS)], status_code=303)
async def create_view(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    data: URLEncodedBody[SaveForm],
) -> Response[Any]:
    try:
        made = await save_view(
            services.control, services.keyring, services.clock, access, identity.actor,
            name=data.name, text=data.q, is_team=bool(data.team),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return await _answer(request, services, identity, access, data, error.message)
    return Redirect(urls.saved_view(access.project.slug, str(made.id)), status_code=303)


@get(PATH + "/{ref:str}", guards=[requires(Permission.READ_TASKS)])
async def open_view(
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    ref: FromPath[str],
) -> Redirect:
    slug = access.project.slug
    question = await _question(services, identity, access, ref)
    answer = Redirect(urls.tasks(slug, question), status_code=303)
    answer.set_cookie(
        Cookie(
            key=COOKIE,
            value=ref,
            path=f"/p/{slug}",
            max_age=_YEAR_S,
            secure=services.settings.is_https,
            httponly=True,
            samesite="lax",
        )
    )
    return answer


@post(PATH + "/{ref:str}/removals", guards=[requires(Permission.READ_TASKS)], status_code=303)
async def create_removal(
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    ref: FromPath[str],
) -> Redirect:
    await remove_view(
        services.control, services.keyring, services.clock, access, identity.actor, read_number(ref)
    )
    return Redirect(urls.saved_views(access.project.slug), status_code=303)


async def menu(services: Services, identity: Identity, access: Access, last: str) -> ViewsMenu:
    """For the head of the task list."""
    seen = await views_of(services.control, access.project.id, identity.actor)
    return views_menu(seen, access.project.slug, last)


async def _question(services: Services, identity: Identity, access: Access, ref: str) -> str:
    for one in SYSTEM_VIEWS:
        if one.ref == ref:
            return one.question
    found = await find_view(services.control, access.project.id, identity.actor, read_number(ref))
    return found.question


async def _answer(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    form: SaveForm,
    error: str = "",
) -> Response[Any]:
    view = saved_views_view(
        await views_of(services.control, access.project.id, identity.actor),
        access.project.slug,
        question=form.q,
        may_share=access.allows(Permission.SHARE_VIEWS),
        error=error,
        name=form.name,
        is_team=bool(form.team),
    )
    shell = await frame(
        request, services, identity, access, title="Views", place="Tasks", mode="still"
    )
    return page(request, "savedviews/list.html", shell, view, 422 if error else 200)


ROUTES = [list_views, create_view, open_view, create_removal]
