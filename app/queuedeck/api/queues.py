# SPDX-License-Identifier: AGPL-3.0-only
"""Queues for programs: what waits in them, and what can be done to one."""

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from queuedeck.api.control import ControlAnswer, ControlCommand, control_command
from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.commands import (
    DEAD,
    PEEK,
    SHOWN,
    commands_of,
    newest_of,
    request_dead,
    request_peek,
    request_purge,
    request_requeue,
)
from queuedeck.domain.queues.overview import QueueLine, queue_line, queue_lines
from queuedeck.domain.queues.queue import QueueRef, find_queue
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services

QUEUE_PATH = "/queues/{engine:str}/{source:str}/{queue:str}"


class QueueList(msgspec.Struct, frozen=True):
    queues: list[QueueLine]
    """Those that wait longest first. What nobody knows is null."""


class QueueAnswer(msgspec.Struct, frozen=True, kw_only=True):
    queue: QueueLine
    peek: ControlCommand | None
    """The newest, with what it found."""
    dead: ControlCommand | None
    commands: list[ControlCommand]
    """What was asked for it, newest first."""


class PurgeInput(msgspec.Struct, frozen=True):
    name: str
    """The queue's name once more."""


class LookInput(msgspec.Struct, frozen=True):
    amount: int = SHOWN


class RequeueInput(msgspec.Struct, frozen=True):
    ids: list[str]
    """Of dead letters, as listed."""


@get(
    "/queues",
    guards=[requires(Permission.READ_TASKS)],
    summary="List queues with what waits in them, and what comes and leaves",
    responses=errors(),
)
async def list_queues(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> QueueList:
    s = services
    return QueueList(
        await queue_lines(s.history, s.registry, s.watches, s.clock, access.project.id)
    )


@get(
    QUEUE_PATH,
    guards=[requires(Permission.READ_TASKS)],
    summary="Show one queue, and what was asked for it",
    responses=errors(),
)
async def show_queue(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> QueueAnswer:
    s, project_id = services, access.project.id
    asked = await known(services, access, engine, source, queue)
    peek = await newest_of(s.control, project_id, asked.target, PEEK)
    dead = await newest_of(s.control, project_id, asked.target, DEAD)
    commands = await commands_of(s.control, project_id, asked.target)
    return QueueAnswer(
        queue=await queue_line(s.history, s.registry, s.watches, s.clock, project_id, asked),
        peek=control_command(peek) if peek else None,
        dead=control_command(dead) if dead else None,
        commands=[control_command(one) for one in commands],
    )


@post(
    QUEUE_PATH + "/purges",
    guards=[requires(Permission.PURGE)],
    status_code=202,
    summary="Remove all waiting messages of a queue",
    responses=errors(409, 422, 503),
)
async def purge_queue(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: JSONBody[PurgeInput],
) -> ControlAnswer:
    asked = await known(services, access, engine, source, queue)
    command = await request_purge(services, access.project, asked, actor, name=data.name)
    return ControlAnswer(control_command(command))


@post(
    QUEUE_PATH + "/peeks",
    guards=[requires(Permission.INSPECT_QUEUES)],
    status_code=202,
    summary="Look at the first waiting messages of a queue; nothing is taken",
    responses=errors(409, 422, 503),
)
async def peek_queue(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: JSONBody[LookInput],
) -> ControlAnswer:
    asked = await known(services, access, engine, source, queue)
    command = await request_peek(services, access.project, asked, actor, amount=data.amount)
    return ControlAnswer(control_command(command))


@post(
    QUEUE_PATH + "/dead-letters",
    guards=[requires(Permission.INSPECT_QUEUES)],
    status_code=202,
    summary="Look for the dead letters of a queue",
    responses=errors(409, 422, 503),
)
async def list_dead_letters(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: JSONBody[LookInput],
) -> ControlAnswer:
    asked = await known(services, access, engine, source, queue)
    command = await request_dead(services, access.project, asked, actor, amount=data.amount)
    return ControlAnswer(control_command(command))


@post(
    QUEUE_PATH + "/requeues",
    guards=[requires(Permission.RETRY)],
    status_code=202,
    summary="Put dead letters back into their queue",
    responses=errors(409, 422, 503),
)
async def requeue_dead_letters(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: JSONBody[RequeueInput],
) -> ControlAnswer:
    asked = await known(services, access, engine, source, queue)
    command = await request_requeue(services, access.project, asked, actor, ids=tuple(data.ids))
    return ControlAnswer(control_command(command))


async def known(
    services: Services, access: Access, engine: str, source: str, queue: str
) -> QueueRef:
    asked = QueueRef(engine, source, decode_id(queue))
    return await find_queue(services, access.project.id, asked)


HANDLERS = [
    list_queues,
    show_queue,
    purge_queue,
    peek_queue,
    list_dead_letters,
    requeue_dead_letters,
]
