# SPDX-License-Identifier: AGPL-3.0-only
"""What the project takes on disk, and for how long it keeps what."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.projects.retention import Retention, set_retention
from queuedeck.domain.projects.storage import storage_of
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid
from queuedeck.web import urls
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.storage import storage_view


class RetentionForm(msgspec.Struct, frozen=True):
    task_days: str = ""
    payload_days: str = ""
    count_days: str = ""


@get("/p/{project:str}/storage", guards=[requires(Permission.READ_TASKS)])
async def show_storage(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    return await _answer(request, services, identity, access)


@post("/p/{project:str}/storage", guards=[requires(Permission.MANAGE_PROJECT)], status_code=200)
async def change_retention(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: URLEncodedBody[RetentionForm],
) -> Response[Any]:
    try:
        chosen = Retention(
            task_days=_number("Tasks", data.task_days),
            payload_days=_number("Payloads", data.payload_days),
            count_days=_number("Trends", data.count_days),
        )
        await set_retention(
            services.control, services.keyring, access.project, chosen, actor,
            server_days=services.settings.retention_days, clock=services.clock,
        )  # fmt: skip
    except Invalid as error:
        given = (data.task_days, data.payload_days, data.count_days)
        return await _answer(request, services, identity, access, error.message, given)
    return Redirect(urls.storage(access.project.slug), status_code=303)


async def _answer(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    error: str = "",
    given: tuple[str, str, str] | None = None,
) -> Response[Any]:
    view = storage_view(
        await storage_of(services, access.project.id),
        may_change=access.allows(Permission.MANAGE_PROJECT),
        error=error,
        given=given,
    )
    shell = await frame(
        request, services, identity, access, title="Storage", place="Storage", mode="still"
    )
    answer = page(request, "storage/show.html", shell, view)
    answer.status_code = 422 if error else 200
    return answer


def _number(what: str, given: str) -> int | None:
    given = given.strip()
    if given and not (given.isascii() and given.isdecimal()):
        raise Invalid(
            f"{what}: a whole number of days, or nothing for as long as the server keeps."
        )
    return int(given[:6]) if given else None


ROUTES = [show_storage, change_retention]
