# SPDX-License-Identifier: AGPL-3.0-only
"""Pause a queue with a reason, and resume it."""

from typing import Any

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.pauses import pause_queue, resume_queue
from queuedeck.domain.queues.queue import QueueRef, find_queue
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid
from queuedeck.web import urls
from queuedeck.web.answers import done
from queuedeck.web.format import plural

QUEUE_PATH = "/p/{project:str}/queues/{engine:str}/{source:str}/{queue:str}"


class PauseForm(msgspec.Struct, frozen=True):
    reason: str = ""
    minutes: str = ""
    """Empty: until somebody resumes it."""


@post(QUEUE_PATH + "/pauses", guards=[requires(Permission.PAUSE)])
async def create_pause(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
    data: URLEncodedBody[PauseForm],
) -> Response[Any]:
    asked = QueueRef(engine, source, decode_id(queue))
    asked = await find_queue(services, access.project.id, asked)
    held = await pause_queue(
        services, access.project, asked, actor, reason=data.reason, for_s=_seconds(data.minutes)
    )
    workers = plural(len(held.workers), "worker")
    text = f"Pause of {asked.name} requested of {workers}. Each one's answer appears here."
    return done(
        request, urls.queue(access.project.slug, engine, source, asked.name), text, "queued"
    )


@post(QUEUE_PATH + "/resumptions", guards=[requires(Permission.PAUSE)])
async def create_resumption(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    source: FromPath[str],
    queue: FromPath[str],
) -> Response[Any]:
    # Not looked for: a pause can be ended also when nothing names the queue any more.
    asked = QueueRef(engine, source, decode_id(queue))
    await resume_queue(services, access.project, asked, actor)
    text = f"{asked.name} goes on: its workers are told. Their answers appear here."
    return done(
        request, urls.queue(access.project.slug, engine, source, asked.name), text, "queued"
    )


def _seconds(minutes: str) -> int:
    text = minutes.strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Invalid("The time of the pause is a number of minutes, or empty.")
    return max(1, int(text) * 60)


ROUTES = [create_pause, create_resumption]
