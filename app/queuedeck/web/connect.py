# SPDX-License-Identifier: AGPL-3.0-only
"""Connecting the first worker: the page, and the button that makes a key for it."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.projects.queries import list_agent_keys
from queuedeck.domain.projects.service import create_agent_key
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import TaskRow
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views import checklist
from queuedeck.web.views.connect import DEFAULT_ALLOW, ConnectView, KeyView, connect_view, key_note


class KeyForm(msgspec.Struct, frozen=True):
    allow: str = DEFAULT_ALLOW
    from_dsn: str = ""
    """An existing DSN whose sealing key the new one is to hold."""


@get("/p/{project:str}/connect", guards=[requires(Permission.CONNECT_AGENTS)])
async def show_connect(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    return await _answer(request, services, identity, access, KeyForm(), None)


@post("/p/{project:str}/keys", guards=[requires(Permission.CONNECT_AGENTS)], status_code=200)
async def create_key(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    data: URLEncodedBody[KeyForm],
) -> Response[Any]:
    try:
        made = await create_agent_key(
            services.control, services.keyring, services.settings, access.project,
            identity.actor, data.from_dsn.strip(), clock=services.clock,
        )  # fmt: skip
    except Invalid as error:
        return await _answer(request, services, identity, access, data, None, error.message)
    services.live.publish(access.project.id, ("audit",))
    key = KeyView(made.dsn, made.prefix, key_note(made.other_seal_ids))
    return await _answer(request, services, identity, access, data, key)


async def _answer(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    form: KeyForm,
    key: KeyView | None,
    error: str = "",
) -> Response[Any]:
    view = await _view(services, access, form, key, error)
    shell = await frame(
        request, services, identity, access,
        title="Connect", place="Connect", topics=("agents", "tasks"), mode="part:#checklist",
    )  # fmt: skip
    return page(request, "connect/show.html", shell, view, 422 if error else 200)


async def _view(
    services: Services, access: Access, form: KeyForm, key: KeyView | None, error: str
) -> ConnectView:
    agents = services.registry.agents(access.project.id)
    keys = [k for k in await list_agent_keys(services.control, access.project.id)
            if k.revoked_us is None]  # fmt: skip
    task, sealed = await _newest_task(services, access.project.id)
    steps = checklist.checklist(
        agents, task, sealed, keys[0].created_us if keys else None,
        services.settings.url, services.clock(),
    )  # fmt: skip
    return connect_view(
        access.project.slug, form.allow, form.from_dsn, key, error, len(keys), steps
    )


async def _newest_task(services: Services, project_id: int) -> tuple[TaskRow | None, bool]:
    found = await services.history.list_tasks(project_id, TaskFilter(), 1)
    if not found.tasks:
        return None, False
    row = found.tasks[0]
    detail = await services.history.find_task(project_id, row.engine, row.task_id)
    return row, bool(detail and detail.seal_id)


ROUTES = [show_connect, create_key]
