# SPDX-License-Identifier: AGPL-3.0-only
"""The queues of a project: what waits, since when, what comes and leaves, who consumes; and one
queue, with what can be done to it.
"""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.queries import find_command
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.commands import (
    DEAD,
    PEEK,
    commands_of,
    newest_of,
    request_dead,
    request_peek,
    request_purge,
    request_requeue,
)
from queuedeck.domain.queues.found import read_found
from queuedeck.domain.queues.overview import queue_line, queue_lines
from queuedeck.domain.queues.pauses import pauses_of
from queuedeck.domain.queues.queue import QueueRef, find_queue
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.web import urls
from queuedeck.web.answers import done
from queuedeck.web.format import plural
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.queue import Seen, open_topics, queue_view
from queuedeck.web.views.queues import queues_view

QUEUE_PATH = "/p/{project:str}/queues/{engine:str}/{source:str}/{queue:str}"


class PurgeForm(msgspec.Struct, frozen=True):
    name: str = ""


@get("/p/{project:str}/queues", guards=[requires(Permission.READ_TASKS)])
async def list_queues(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    s = services
    lines = await queue_lines(s.history, s.registry, s.watches, s.clock, access.project.id)
    held = await pauses_of(services, access.project.id)
    can_connect = access.allows(Permission.CONNECT_AGENTS)
    view = queues_view(lines, access.project.slug, s.clock(), can_connect, held)
    shell = await frame(
        request, services, identity, access, title="Queues", place="Queues", topics=("queues",)
    )
    return page(request, "queues/list.html", shell, view)


@get(QUEUE_PATH, guards=[requires(Permission.READ_TASKS)])
async def show_queue(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> Response[Any]:
    s, asked = services, QueueRef(engine, source, decode_id(queue))
    project_id = access.project.id
    held = {(one.source, one.queue): one for one in await pauses_of(services, project_id)}
    pause = held.get((asked.source, asked.name))
    if pause is None:
        await find_queue(services, project_id, asked)
    seen = Seen(
        queue=asked,
        line=await queue_line(s.history, s.registry, s.watches, s.clock, project_id, asked),
        access=access,
        registry=s.registry,
        pause=pause,
        commands=await commands_of(s.control, project_id, asked.target),
        peek=await newest_of(s.control, project_id, asked.target, PEEK),
        dead=await newest_of(s.control, project_id, asked.target, DEAD),
        now_us=s.clock(),
    )
    shell = await frame(
        request, services, identity, access,
        title=asked.name, place="Queues", topics=("queues", "agents", *open_topics(seen.commands)),
    )  # fmt: skip
    return page(request, "queues/show.html", shell, queue_view(seen))


@post(QUEUE_PATH + "/purges", guards=[requires(Permission.PURGE)])
async def create_purge(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: URLEncodedBody[PurgeForm],
) -> Response[Any]:
    asked = await _known(services, access, engine, source, queue)
    await request_purge(services, access.project, asked, actor, name=data.name)
    text = f"Purge of {asked.name} requested. How many messages it took away appears here."
    return _done(request, access, asked, text)


@post(QUEUE_PATH + "/peeks", guards=[requires(Permission.INSPECT_QUEUES)])
async def create_peek(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> Response[Any]:
    asked = await _known(services, access, engine, source, queue)
    await request_peek(services, access.project, asked, actor)
    text = f"An agent looks at the first messages of {asked.name}. They appear here."
    return _done(request, access, asked, text)


@post(QUEUE_PATH + "/dead-letters", guards=[requires(Permission.INSPECT_QUEUES)])
async def create_dead_letters(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> Response[Any]:
    asked = await _known(services, access, engine, source, queue)
    await request_dead(services, access.project, asked, actor)
    text = f"An agent looks for dead letters of {asked.name}. They appear here."
    return _done(request, access, asked, text)


@post(QUEUE_PATH + "/requeues", guards=[requires(Permission.RETRY)])
async def create_requeue(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> Response[Any]:
    asked = await _known(services, access, engine, source, queue)
    ids = await _chosen(request, services, access)
    await request_requeue(services, access.project, asked, actor, ids=ids)
    text = f"{plural(len(ids), 'dead letter')} to be put back. What becomes of it appears here."
    return _done(request, access, asked, text)


async def _chosen(request: AnyRequest, services: Services, access: Access) -> tuple[str, ...]:
    """The one whose button was pressed, all that a listing showed, or those that are ticked."""
    form = await request.form()
    if form.get("one"):
        return (str(form["one"]),)
    if form.get("all"):
        command = str(form["all"])
        listed = await find_command(services.control, access.project.id, command)
        return tuple(one.id for one in read_found(listed.found))
    return tuple(str(one) for one in form.getall("ids", []))


async def _known(
    services: Services, access: Access, engine: str, source: str, queue: str
) -> QueueRef:
    asked = QueueRef(engine, source, decode_id(queue))
    return await find_queue(services, access.project.id, asked)


def _done(request: AnyRequest, access: Access, queue: QueueRef, text: str) -> Response[Any]:
    url = urls.queue(access.project.slug, queue.engine, queue.source, queue.name)
    return done(request, url, text, "queued")


ROUTES = [
    list_queues,
    show_queue,
    create_purge,
    create_peek,
    create_dead_letters,
    create_requeue,
]
