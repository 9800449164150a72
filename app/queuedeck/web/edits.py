# SPDX-License-Identifier: AGPL-3.0-only
"""Edit and retry: a form filled with what a task was called with, and a new task made of it."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect
from msgspec.structs import replace

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.acts import request_edit
from queuedeck.domain.commands.known import known_tasks
from queuedeck.domain.commands.service import find_task
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Conflict, Invalid
from queuedeck.history.tasks import TaskDetail
from queuedeck.web import urls
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.callform import Field, fields_of_task, read, unknown_fields
from queuedeck.web.views.calls import (
    CallForm,
    call_form,
    edit_view,
    entered,
    has_errors,
    options_of,
)
from queuedeck_agent import wire

TASK_PATH = "/p/{project:str}/tasks/{engine:str}/{task_id:str}"
CHANGED = (
    "The task's signature has changed since this form was made. Look at the fields, then send it."
)


@get(TASK_PATH + "/edits", guards=[requires(Permission.SUBMIT)])
async def show_edit(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task = await find_task(services, access.project, engine, decode_id(task_id), key)
    if refusal := rules.edit_refusal(services.registry, access.project.id, task):
        raise refusal
    fields, info, kept = _fields(services, access, task)
    form = _form(services, access, task, fields, {})
    return await _answer(request, services, identity, access, task, kept, info, form)


@post(TASK_PATH + "/edits", guards=[requires(Permission.SUBMIT)], status_code=303)
async def create_edit(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    task = await find_task(services, access.project, engine, task_id, key)
    sent = await sent_form(request)
    fields, info, kept = _fields(services, access, task)
    call, fields = read(fields, sent, kept)
    form = _form(services, access, task, fields, sent)
    problem = CHANGED if unknown_fields(fields, sent) else ""
    if not problem and not has_errors(form.fields, form.options):
        try:
            await request_edit(
                services, access.project, engine, task_id, entered(call, sent, services.clock()),
                identity.actor, key=key, once=form.once,
            )  # fmt: skip
            url = urls.task(access.project.slug, engine, task_id, key=key)
            return Redirect(url, status_code=303)
        except (Invalid, Conflict) as error:
            problem = error.message
    form = with_problem(form, problem)
    return await _answer(request, services, identity, access, task, kept, info, form, 422)


async def sent_form(request: AnyRequest) -> dict[str, str]:
    """The fields of a form whose names are only known by the task."""
    return {name: str(value) for name, value in (await request.form()).items()}


def with_problem(form: CallForm, problem: str) -> CallForm:
    """What is wrong with the whole, or that something is wrong at a field."""
    return replace(form, problem=problem or "Nothing was sent. Look at the fields marked below.")


def _fields(
    services: Services, access: Access, task: TaskDetail
) -> tuple[tuple[Field, ...], wire.TaskInfo | None, bool]:
    project_id, row = access.project.id, task.row
    info = known_tasks(services.registry, project_id, row.source).get(row.name)
    kept = rules.keeps_original(services.registry, project_id, task)
    return fields_of_task(task.args, info, kept), info, kept


def _form(
    services: Services,
    access: Access,
    task: TaskDetail,
    fields: tuple[Field, ...],
    sent: Mapping[str, str],
) -> CallForm:
    row = task.row
    queues = services.registry.queues(access.project.id, row.source)
    url = f"{urls.task(access.project.slug, row.engine, row.task_id)}/edits?key={row.key}"
    options = options_of(sent, queues, row.engine, row.queue, services.clock())
    return call_form(url, fields, options, "Send as a new task", sent.get("once", ""))


async def _answer(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    task: TaskDetail,
    kept: bool,
    info: wire.TaskInfo | None,
    form: CallForm,
    status: int = 200,
) -> Response[Any]:
    view = edit_view(task, access.project.slug, kept, info, form)
    shell = await frame(
        request, services, identity, access, title="Edit and retry", place="Tasks", mode="still"
    )
    return page(request, "submissions/edit.html", shell, view, status)


ROUTES = [show_edit, create_edit]
