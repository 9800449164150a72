# SPDX-License-Identifier: AGPL-3.0-only
"""The audit log of a project, and the button that checks all of it."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.audit.queries import AuditPage, list_entries, log_state
from queuedeck.domain.audit.verify import verify
from queuedeck.domain.commands.queries import CommandSeen
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.web import urls
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.audit import AuditView, CheckView, EntryView, check_view, entry_view, total

MAX_OF_TASK = 5


@get("/p/{project:str}/audit", guards=[requires(Permission.READ_AUDIT)])
async def list_audit(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    after: FromQuery[int | None] = None,
) -> Response[Any]:
    view = await _view(services, access.project.slug, after, None)
    return await _answer(request, services, identity, access, view)


@post("/p/{project:str}/audit/checks", guards=[requires(Permission.READ_AUDIT)], status_code=200)
async def check_audit(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    found = await verify(services.control, services.keyring)
    view = await _view(services, access.project.slug, None, check_view(found))
    return await _answer(request, services, identity, access, view)


async def entries_of_task(
    services: Services, project: str, commands: list[CommandSeen]
) -> tuple[EntryView, ...]:
    """The entries that recorded who asked for what, newest first."""
    entries: list[EntryView] = []
    for command in commands[:MAX_OF_TASK]:
        before = command.audit_seq + 1
        found = await list_entries(services.control, project, after=before, limit=1)
        entries += [entry_view(line, project) for line in found.entries]
    return tuple(entries)


async def _view(
    services: Services, project: str, after: int | None, check: CheckView | None
) -> AuditView:
    try:
        found = await list_entries(services.control, project, after=after)
    except msgspec.MsgspecError:  # Somebody wrote into the file: the check must still be shown.
        found = AuditPage([], None)
    state = await log_state(services.control)
    more = f"{urls.audit(project)}?after={found.after}" if found.after else ""
    return AuditView(
        entries=tuple(entry_view(line, project) for line in found.entries),
        total=f"{total(state.size)} in the whole log, of all projects",
        more_url=more,
        first_url=urls.audit(project) if after else "",
        check=check,
        checks_url=f"{urls.audit(project)}/checks",
        checkpoint=state.checkpoint,
    )


async def _answer(
    request: AnyRequest, services: Services, identity: Identity, access: Access, view: AuditView
) -> Response[Any]:
    shell = await frame(
        request, services, identity, access, title="Audit", place="Audit", topics=("audit",)
    )
    return page(request, "audit/list.html", shell, view)


ROUTES = [list_audit, check_audit]
