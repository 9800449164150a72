# SPDX-License-Identifier: AGPL-3.0-only
"""Acting on many tasks: preview, confirm, watch, disarm, pause, resume, stop, export."""

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Stream
from multidict import MultiMapping

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.operations import export, queries, rules, service
from queuedeck.domain.operations.preview import preview
from queuedeck.domain.operations.selection import Ask, checked
from queuedeck.domain.operations.states import OperationState, TaskOutcome
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Forbidden, Invalid, NotFound
from queuedeck.web.answers import done
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.operation_list import operation_url, operations_view
from queuedeck.web.views.operation_preview import ask_fields, detail_view, preview_view
from queuedeck.web.views.operations import OUTCOMES_SHOWN, operation_view

COUNTED_WHILE_MOVING = 20_000
"""Larger ones are not counted by engine and queue each second."""
_NEEDS_DETAIL = {"move": "queue", "priority": "priority"}
_SAID = {"disarm": "Disarmed.", "pause": "Paused.", "resume": "It goes on.", "stop": "Stopping."}


@get("/p/{project:str}/operations", guards=[requires(Permission.READ_TASKS)])
async def list_operations(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    found = await queries.list_operations(services.control, access.project.id)
    view = operations_view(found, access.project.slug, services.clock())
    shell = await frame(
        request, services, identity, access,
        title="Operations", place="Operations", topics=("operations",),
    )  # fmt: skip
    return page(request, "operations/list.html", shell, view)


@get("/p/{project:str}/operations/preview", guards=[requires(Permission.RUN_OPERATIONS)])
async def preview_operation(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    """Changes nothing, so it is a link: of a filter, of selected tasks, or of what failed in
    another operation.
    """
    form, keys = _read(request.query_params)
    verb, slug = form.get("verb", ""), access.project.slug
    needed = _NEEDS_DETAIL.get(verb, "")
    if needed and not form.get(needed, "").strip():
        return await _ask_detail(request, services, identity, access, form, keys)
    ask = _ask(form, keys)
    _check_verb(access, verb)
    seen = await preview(services, access.project.id, ask)
    running = await queries.running_now(services.control, access.project.id)
    view = preview_view(seen, slug, [one for one in running if one.verb == verb])
    shell = await frame(
        request, services, identity, access, title=view.title, place="Operations", mode="still"
    )
    return page(request, "operations/preview.html", shell, view)


@post("/p/{project:str}/operations", guards=[requires(Permission.RUN_OPERATIONS)])
async def create_operation(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
) -> Response[Any]:
    form, keys = _read(await request.form())
    ask = _ask(form, keys)
    _check_verb(access, ask.verb)
    operation = await service.confirm(
        services,
        access.project,
        service.Confirmed(
            ask=ask,
            newest_key=_number(form, "newest_key"),
            expected=_number(form, "expected"),
            expected_acts=_number(form, "expected_acts"),
            rate=_number(form, "rate"),
            canary=_number(form, "canary"),
            reason=form.get("reason", "").strip(),
            operation_id=form.get("operation_id", ""),
        ),
        actor,
    )
    return Redirect(operation_url(access.project.slug, operation.id), status_code=303)


@get("/p/{project:str}/operations/{operation_id:str}", guards=[requires(Permission.READ_TASKS)])
async def show_operation(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    operation_id: FromPath[str],
    outcome: FromQuery[TaskOutcome | None] = None,
    after: FromQuery[int] = 0,
) -> Response[Any]:
    operation = await queries.find_operation(services.control, access.project.id, operation_id)
    tally = await queries.read_tally(services.control, operation.id)
    moves = operation.state in (OperationState.RUNNING, OperationState.FREEZING)
    groups = None
    if not moves or tally.total <= COUNTED_WHILE_MOVING:
        groups = await queries.read_groups(services.control, operation.id)
    tasks = await queries.list_outcomes(
        services.control, operation.id, outcome, OUTCOMES_SHOWN + 1, after
    )
    view = operation_view(
        operation, tally, groups, tasks, access.project.slug, services.clock(),
        outcome=outcome.value if outcome else "", after=after,
        may_act=access.allows(Permission.RUN_OPERATIONS),
    )  # fmt: skip
    shell = await frame(
        request, services, identity, access,
        title=view.line.title, place="Operations", topics=(f"operation:{operation.id}",),
    )  # fmt: skip
    return page(request, "operations/show.html", shell, view)


@post(
    "/p/{project:str}/operations/{operation_id:str}/{part:str}",
    guards=[requires(Permission.RUN_OPERATIONS)],
)
async def press_button(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    operation_id: FromPath[str],
    part: FromPath[str],
) -> Response[Any]:
    if part not in service.BUTTONS:
        raise NotFound(f"There is no {part!r}. Use one of {', '.join(service.BUTTONS)}.")
    await service.BUTTONS[part](services, access.project, operation_id, actor)
    return done(request, operation_url(access.project.slug, operation_id), _SAID[part])


@get(
    "/p/{project:str}/operations/{operation_id:str}/{part:str}",
    guards=[requires(Permission.READ_TASKS)],
)
async def export_operation(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    operation_id: FromPath[str],
    part: FromPath[str],
) -> Stream:
    operation = await queries.find_operation(services.control, access.project.id, operation_id)
    kind = export.kind_of(part)
    return Stream(
        export.lines(services.control, operation, kind),
        media_type=export.MEDIA_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="operation-{operation.id}.{kind}"'},
    )


async def _ask_detail(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    form: dict[str, str],
    keys: Sequence[int],
) -> Response[Any]:
    """To which queue, or to which priority."""
    verb = form.get("verb", "")
    # The rest of the question is looked at now, not after somebody has typed.
    asked = checked("retry", form.get("q", ""), list(keys), form.get("of", ""), "", None)
    fields = [("verb", verb), *ask_fields(asked)[1:]]
    view = detail_view(access.project.slug, verb, fields, asked.question)
    shell = await frame(
        request, services, identity, access, title=view.title, place="Operations", mode="still"
    )
    return page(request, "operations/detail.html", shell, view)


def _read(form: MultiMapping[Any]) -> tuple[dict[str, str], list[int]]:
    """The fields, and the keys of selected tasks."""
    fields = {name: str(form[name]) for name in form if name != "key"}
    try:
        return fields, [int(str(value)) for value in form.getall("key", [])]
    except ValueError as error:
        raise Invalid("The key of a task is a number.") from error


def _ask(form: dict[str, str], keys: Sequence[int]) -> Ask:
    priority = form.get("priority", "").strip()
    return checked(
        form.get("verb", ""), form.get("q", ""), list(keys), form.get("of", ""),
        form.get("queue", ""), _number(form, "priority") if priority else None,
    )  # fmt: skip


def _number(form: dict[str, str], name: str) -> int:
    try:
        return int(form.get(name, "") or 0)
    except ValueError as error:
        raise Invalid(f"The field {name} takes a whole number.") from error


def _check_verb(access: Access, verb: str) -> None:
    needed = rules.VERBS[verb]
    if not access.allows(needed):
        raise Forbidden(
            f"Your role in this project is {access.role.value}, which does not include "
            f"{needed.value}. Ask an owner of the project."
        )


ROUTES = [
    list_operations,
    preview_operation,
    create_operation,
    show_operation,
    press_button,
    export_operation,
]
