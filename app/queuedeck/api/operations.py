# SPDX-License-Identifier: AGPL-3.0-only
"""Operations for programs: preview, confirm, watch, disarm, pause, resume, stop, export."""

from typing import Annotated

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.operations import export, queries, rules, service
from queuedeck.domain.operations.preview import Part, Preview, Skipped, preview
from queuedeck.domain.operations.queries import OperationSeen, Tally, TaskSeen
from queuedeck.domain.operations.selection import Ask, checked
from queuedeck.domain.operations.states import TaskOutcome
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services
from queuedeck.errors import Forbidden, NotFound

PATH = "/operations/{operation_id:str}"
Limit = Annotated[int, QueryParameter(ge=1, le=1_000, description="How many, at most.")]


class AskBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verb, and exactly one way to name tasks."""

    verb: str
    """retry, requeue, cancel, move or priority."""
    q: str = ""
    """A filter of the task list. An unknown key is an error."""
    keys: list[str] = []
    """Keys of tasks, as the list of tasks tells them."""
    failed_of: str = ""
    """An operation: the tasks of it that were not done."""
    queue: str = ""
    """Where `move` moves to."""
    priority: int | None = None

    def read(self) -> Ask:
        keys = [read_number(key) for key in self.keys]
        return checked(self.verb, self.q, keys, self.failed_of, self.queue, self.priority)


class OperationBody(AskBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rate: int = rules.DEFAULT_RATE
    """Commands a second."""
    canary: int = 0
    """How many go first."""
    reason: str = ""
    id: str = ""
    """32 hexadecimal digits of your own: the same request twice is one operation."""


class PreviewAnswer(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    acts: int
    parts: tuple[Part, ...]
    skipped: tuple[Skipped, ...]
    waits: int
    succeeded: int
    warnings: tuple[str, ...]


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    verb: str
    question: str
    parent_id: str
    expected: int
    expected_acts: int
    state: str
    rate: int
    slowed_rate: int
    canary: int
    canary_state: str
    reason: str
    note: str
    requested_by: str
    changed_by: str
    audit_seq: int
    created_us: int
    armed_us: int | None
    started_us: int | None
    finished_us: int | None
    counts: Tally


class OperationAnswer(msgspec.Struct, frozen=True):
    operation: OperationView


class OperationList(msgspec.Struct, frozen=True):
    operations: list[OperationView]


class OutcomeView(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    engine: str
    task_id: str
    task_name: str
    queue: str
    was: str
    """The task's state when the set was frozen."""
    is_canary: bool
    state: str
    """waiting, open, done, failed, unknown, skipped or stopped."""
    code: str
    message: str
    new_task_id: str
    command_id: str
    changed_us: int


class OutcomeList(msgspec.Struct, frozen=True):
    tasks: list[OutcomeView]
    after: str | None
    """Ask with this for the next ones; null: these were the last."""


@post(
    "/operations/preview",
    guards=[requires(Permission.RUN_OPERATIONS)],
    status_code=200,
    summary="Count what an operation would do, and what not",
    responses=errors(422),
)
async def preview_operation(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    data: JSONBody[AskBody],
) -> PreviewAnswer:
    seen = await _preview(services, access, data.read())
    return msgspec.convert(seen, PreviewAnswer, from_attributes=True)


@post(
    "/operations",
    guards=[requires(Permission.RUN_OPERATIONS)],
    status_code=202,
    summary="Act on many tasks; nothing leaves in the first ten seconds",
    responses=errors(409, 422),
)
async def create_operation(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: JSONBody[OperationBody],
) -> OperationAnswer:
    seen = await _preview(services, access, data.read())
    confirmed = service.Confirmed(
        ask=seen.ask,
        newest_key=seen.newest_key,
        expected=seen.total,
        expected_acts=seen.acts,
        rate=data.rate,
        canary=data.canary,
        reason=data.reason,
        operation_id=data.id,
    )
    return await _answer(
        services, await service.confirm(services, access.project, confirmed, actor)
    )


@get(
    "/operations",
    guards=[requires(Permission.READ_TASKS)],
    summary="List operations, newest first",
    responses=errors(),
)
async def list_operations(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> OperationList:
    found = await queries.list_operations(services.control, access.project.id)
    return OperationList([_view(operation, tally) for operation, tally in found])


@get(
    PATH,
    guards=[requires(Permission.READ_TASKS)],
    summary="Show one operation with its counts",
    responses=errors(),
)
async def show_operation(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    operation_id: FromPath[str],
) -> OperationAnswer:
    found = await queries.find_operation(services.control, access.project.id, operation_id)
    return await _answer(services, found)


@get(
    PATH + "/tasks",
    guards=[requires(Permission.READ_TASKS)],
    summary="List the tasks of an operation and what came of them",
    responses=errors(422),
)
async def list_outcomes(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    operation_id: FromPath[str],
    outcome: FromQuery[TaskOutcome | None] = None,
    limit: Limit = 100,
    after: FromQuery[str] = "0",
) -> OutcomeList:
    found = await queries.find_operation(services.control, access.project.id, operation_id)
    tasks = await queries.list_outcomes(
        services.control, found.id, outcome, limit + 1, read_number(after)
    )
    more = len(tasks) > limit
    return OutcomeList(
        [_outcome(task) for task in tasks[:limit]], str(tasks[limit - 1].task_key) if more else None
    )


@post(
    PATH + "/{button:str}",
    guards=[requires(Permission.RUN_OPERATIONS)],
    status_code=200,
    summary="Disarm, pause, resume or stop an operation",
    responses=errors(409),
)
async def press_button(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    operation_id: FromPath[str],
    button: FromPath[str],
) -> OperationAnswer:
    if button not in service.BUTTONS:
        raise NotFound(f"There is no {button!r}. Use one of {', '.join(service.BUTTONS)}.")
    found = await service.BUTTONS[button](services, access.project, operation_id, actor)
    return await _answer(services, found)


@get(
    PATH + "/export/{name:str}",
    guards=[requires(Permission.READ_TASKS)],
    summary="Everything that came of an operation, as export.csv or export.json",
    responses=errors(),
)
async def export_operation(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    operation_id: FromPath[str],
    name: FromPath[str],
) -> Stream:
    found = await queries.find_operation(services.control, access.project.id, operation_id)
    kind = export.kind_of(name)
    return Stream(export.lines(services.control, found, kind), media_type=export.MEDIA_TYPES[kind])


async def _preview(services: Services, access: Access, ask: Ask) -> Preview:
    needed = rules.VERBS[ask.verb]
    if not access.allows(needed):
        raise Forbidden(
            f"Your role in this project is {access.role.value}, which does not include "
            f"{needed.value}. Ask an owner of the project."
        )
    return await preview(services, access.project.id, ask)


async def _answer(services: Services, operation: OperationSeen) -> OperationAnswer:
    return OperationAnswer(
        _view(operation, await queries.read_tally(services.control, operation.id))
    )


def _view(operation: OperationSeen, tally: Tally) -> OperationView:
    same = {name: getattr(operation, name) for name in _SAME}
    return OperationView(**same, counts=tally)


def _outcome(task: TaskSeen) -> OutcomeView:
    # Keys are beyond what a number of JSON safely holds.
    return msgspec.convert({**msgspec.structs.asdict(task), "key": str(task.task_key)}, OutcomeView)


_SAME = tuple(name for name in OperationView.__struct_fields__ if name != "counts")

ROUTES = [
    preview_operation,
    create_operation,
    list_operations,
    show_operation,
    list_outcomes,
    press_button,
    export_operation,
]
