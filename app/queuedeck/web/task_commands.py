# SPDX-License-Identifier: AGPL-3.0-only
"""What is done to one task: retry, cancel, another queue, another priority, requeue, and asking
the engine what it knows.
"""

from typing import Any

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.acts import (
    request_move,
    request_priority,
    request_reconcile,
    request_requeue,
)
from queuedeck.domain.commands.later import delay_of
from queuedeck.domain.commands.service import request_cancel, request_retry
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid
from queuedeck.web import urls
from queuedeck.web.answers import done

TASK_PATH = "/p/{project:str}/tasks/{engine:str}/{task_id:str}"


class MoveForm(msgspec.Struct, frozen=True):
    queue: str = ""


class PriorityForm(msgspec.Struct, frozen=True):
    priority: str = ""


class RetryForm(msgspec.Struct, frozen=True):
    later: str = ""
    """When, or in which time; empty: at once."""


@post(TASK_PATH + "/retries", guards=[requires(Permission.RETRY)])
async def create_retry(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    data: URLEncodedBody[RetryForm],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    delay_s = delay_of(data.later, services.clock())
    command = await request_retry(
        services, access.project, engine, task_id, actor, key=key, delay_s=delay_s
    )
    text = f"Retry of {command.task_name} requested. Its outcome appears on this page."
    return done(request, urls.task(access.project.slug, engine, task_id, key=key), text, "queued")


@post(TASK_PATH + "/cancellations", guards=[requires(Permission.CANCEL)])
async def create_cancellation(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    command = await request_cancel(services, access.project, engine, task_id, actor, key=key)
    text = f"Cancellation of {command.task_name} requested. Its outcome appears on this page."
    return done(request, urls.task(access.project.slug, engine, task_id, key=key), text, "queued")


@post(TASK_PATH + "/moves", guards=[requires(Permission.MOVE)])
async def create_move(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    data: URLEncodedBody[MoveForm],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    command = await request_move(
        services, access.project, engine, task_id, data.queue, actor, key=key
    )
    text = f"Move to {command.details.queue} requested. Its outcome appears on this page."
    return done(request, urls.task(access.project.slug, engine, task_id, key=key), text, "queued")


@post(TASK_PATH + "/priorities", guards=[requires(Permission.MOVE)])
async def create_priority(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    data: URLEncodedBody[PriorityForm],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    if not data.priority.strip().isdecimal():
        raise Invalid("A priority is a whole number, for example 5.")
    number = int(data.priority)
    await request_priority(services, access.project, engine, task_id, number, actor, key=key)
    text = f"Priority {number} requested. Its outcome appears on this page."
    return done(request, urls.task(access.project.slug, engine, task_id, key=key), text, "queued")


@post(TASK_PATH + "/requeues", guards=[requires(Permission.RETRY)])
async def create_task_requeue(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    command = await request_requeue(services, access.project, engine, task_id, actor, key=key)
    text = f"{command.task_name} to be requeued. Its outcome appears on this page."
    return done(request, urls.task(access.project.slug, engine, task_id, key=key), text, "queued")


@post(TASK_PATH + "/reconciliations", guards=[requires(Permission.INSPECT_QUEUES)])
async def create_reconciliation(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    await request_reconcile(services, access.project, engine, task_id, actor, key=key)
    text = "An agent asks the engine. The answer appears on this page."
    return done(request, urls.task(access.project.slug, engine, task_id, key=key), text, "queued")


ROUTES = [
    create_retry,
    create_cancellation,
    create_move,
    create_priority,
    create_task_requeue,
    create_reconciliation,
]
