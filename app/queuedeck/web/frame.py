# SPDX-License-Identifier: AGPL-3.0-only
"""Fills the frame around a page: who asks, in which project, what else there is."""

from urllib.parse import urlsplit

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.projects.queries import projects_of_user
from queuedeck.domain.queues.pauses import pauses_of
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.history.totals import Totals
from queuedeck.web.format import utc
from queuedeck.web.rendering import is_partial, theme_of
from queuedeck.web.views.pauses import banners
from queuedeck.web.views.shell import ProjectChoice, Shell, UserView, initials, places, pulse

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PLACE_NEEDS = {
    "Tasks": Permission.READ_TASKS,
    "Operations": Permission.READ_TASKS,
    "Errors": Permission.READ_TASKS,
    "Queues": Permission.READ_TASKS,
    "Workers": Permission.READ_AGENTS,
    "Trends": Permission.READ_TASKS,
    "Agents": Permission.READ_AGENTS,
    "Connect": Permission.CONNECT_AGENTS,
    "Audit": Permission.READ_AUDIT,
    "Storage": Permission.READ_TASKS,
    "Labels": Permission.READ_TASKS,
}


async def frame(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    *,
    title: str,
    place: str,
    topics: tuple[str, ...] = (),
    mode: str = "morph",
    totals: Totals | None = None,
) -> Shell:
    slug = access.project.slug
    totals = totals or await services.history.totals(access.project.id)
    held = await pauses_of(services, access.project.id)
    connected = sum(agent.connected for agent in services.registry.agents(access.project.id))
    return Shell(
        title=f"{title} · {access.project.name}",
        project=slug,
        project_name=access.project.name,
        projects=() if is_partial(request) else await _projects(services, identity, slug),
        places=places(slug, place, {p for p, need in _PLACE_NEEDS.items() if access.allows(need)}),
        user=UserView(identity.actor.name, initials(identity.actor.name), access.role.value),
        pulse=pulse(connected, totals, services.clock()),
        csrf_token=identity.csrf,
        theme=theme_of(request),
        folded=request.cookies.get("facets") == "folded",
        topics=(*topics, "pauses"),
        mode=mode,
        warnings=warnings(request, services),
        pauses=banners(held, access, services.clock()),
    )


async def _projects(services: Services, identity: Identity, slug: str) -> tuple[ProjectChoice, ...]:
    found = await projects_of_user(services.control, int(identity.actor.id))
    return tuple(
        ProjectChoice(item.project.slug, item.project.name, item.project.slug == slug)
        for item in found
    )


def warnings(request: AnyRequest, services: Services) -> tuple[str, ...]:
    """What everybody should know, for as long as it is so."""
    return (*_store_warning(services), *_http_warning(request, services))


def _store_warning(services: Services) -> tuple[str, ...]:
    trouble = services.ingest.health.trouble()
    if trouble is None:
        return ()
    return (
        f"No event was stored since {utc(trouble.since_us)}: what you see is older. "
        f"{trouble.reason} Agents keep their events and send them again by themselves.",
    )


def _http_warning(request: AnyRequest, services: Services) -> tuple[str, ...]:
    """Plain http between other machines and this one."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if services.settings.is_https or request.scope["scheme"] == "https" or host in _LOOPBACK:
        return ()
    return (
        f"This page came over plain http from {host}: passwords, keys and task arguments can be "
        "read on the way. Put the server behind https and set QUEUEDECK_PUBLIC_URL.",
    )
