# SPDX-License-Identifier: AGPL-3.0-only
"""Running tasks by their name, for programs: what can be run where, and a request to run it."""

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from queuedeck.api.commands import CommandAnswer, answer
from queuedeck.api.task_commands import CallWanted
from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.acts import request_submit
from queuedeck.domain.commands.known import known_sources, known_tasks
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services
from queuedeck_agent import wire


class ParameterView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    """`positional`, `either`, `named`, `places` (`*args`) or `names` (`**kwargs`)."""
    required: bool
    default: str
    """JSON of the default; empty where there is none, or where it is not plain, or hidden."""
    annotation: str


class TaskInfoView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    doc: str
    module: str
    queue: str
    has_signature: bool
    """False: the parameters are not known."""
    parameters: list[ParameterView]
    max_retries: int | None
    time_limit_us: int | None
    rate: str


class SourceView(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    name: str
    engine: str
    can_run: bool
    why_not: str
    tasks: list[TaskInfoView]


class CatalogAnswer(msgspec.Struct, frozen=True):
    sources: list[SourceView]


class SubmissionWanted(CallWanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a task by its name, on one source."""

    source: str
    task: str


@get(
    "/registered-tasks",
    guards=[requires(Permission.READ_TASKS)],
    summary="List what is registered with the engines, with signatures and limits",
    responses=errors(),
)
async def list_registered_tasks(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    source: FromQuery[str] = "",
) -> CatalogAnswer:
    project_id = access.project.id
    return CatalogAnswer(
        [
            SourceView(
                source=one.source,
                name=one.name,
                engine=one.engine,
                can_run=not one.why_not,
                why_not=one.why_not,
                tasks=[
                    _view(task)
                    for task in known_tasks(services.registry, project_id, one.source).values()
                ],
            )
            for one in await known_sources(services, project_id)
            if source in ("", one.source)
        ]
    )


@post(
    "/submissions",
    guards=[requires(Permission.SUBMIT)],
    status_code=202,
    summary="Run a task by its name",
    responses=errors(409, 422, 503),
)
async def submit_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: JSONBody[SubmissionWanted],
) -> CommandAnswer:
    command = await request_submit(
        services, access.project, data.source, data.task, data.entered(services.clock()), actor,
        once=data.once,
    )  # fmt: skip
    return answer(command)


def _view(task: wire.TaskInfo) -> TaskInfoView:
    return TaskInfoView(
        name=task.name,
        doc=task.doc,
        module=task.module,
        queue=task.queue,
        has_signature=task.has_signature,
        parameters=[
            ParameterView(
                name=p.name,
                kind=p.kind,
                required=p.required,
                default=p.default,
                annotation=p.annotation,
            )
            for p in task.parameters
        ],
        max_retries=task.max_retries if task.max_retries >= 0 else None,
        time_limit_us=task.time_limit_us or None,
        rate=task.rate,
    )


HANDLERS = [list_registered_tasks, submit_task]
