# SPDX-License-Identifier: AGPL-3.0-only
"""Pauses for programs: which hold and how far each has come; pause, resume."""

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from queuedeck.api.queues import QUEUE_PATH, known
from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.pauses import PauseSeen, pause_queue, pauses_of, resume_queue
from queuedeck.domain.queues.queue import QueueRef
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services


class PauseInput(msgspec.Struct, frozen=True):
    reason: str
    for_s: int = 0
    """Goes on by itself after so many seconds; 0: when somebody resumes it."""


class PauseList(msgspec.Struct, frozen=True):
    pauses: list[PauseSeen]


class PauseAnswer(msgspec.Struct, frozen=True):
    pause: PauseSeen
    """`workers` says which of them have confirmed it: none, right after it was asked for."""


@get(
    "/pauses",
    guards=[requires(Permission.READ_TASKS)],
    summary="List the queues that are paused, and how far each pause has come",
    responses=errors(),
)
async def list_pauses(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> PauseList:
    return PauseList(await pauses_of(services, access.project.id))


@post(
    QUEUE_PATH + "/pauses",
    guards=[requires(Permission.PAUSE)],
    status_code=202,
    summary="Pause a queue: its workers with the agent are asked to take nothing more from it",
    responses=errors(409, 422, 503),
)
async def create_pause(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: JSONBody[PauseInput],
) -> PauseAnswer:
    asked = await known(services, access, engine, source, queue)
    held = await pause_queue(
        services, access.project, asked, actor, reason=data.reason, for_s=data.for_s
    )
    return PauseAnswer(held)


@post(
    QUEUE_PATH + "/resumptions",
    guards=[requires(Permission.PAUSE)],
    status_code=202,
    summary="End the pause of a queue",
    responses=errors(409, 503),
)
async def create_resumption(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> PauseList:
    """Answers with the pauses that still hold."""
    asked = QueueRef(engine, source, decode_id(queue))
    await resume_queue(services, access.project, asked, actor)
    return PauseList(await pauses_of(services, access.project.id))


HANDLERS = [list_pauses, create_pause, create_resumption]
