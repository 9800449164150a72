# SPDX-License-Identifier: AGPL-3.0-only
"""Cancel: a waiting task is not started; a running one is stopped where its host allows that."""

from typing import Any

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.service import request_cancel
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.web import urls
from queuedeck.web.answers import done


@post(
    "/p/{project:str}/tasks/{engine:str}/{task_id:str}/cancellations",
    guards=[requires(Permission.CANCEL)],
)
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


ROUTES = [create_cancellation]
