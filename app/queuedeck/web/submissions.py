# SPDX-License-Identifier: AGPL-3.0-only
"""Run a task by its name: choose one, fill in its arguments, see what became of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.acts import request_submit
from queuedeck.domain.commands.known import KnownSource, known_sources, known_tasks, seen_names
from queuedeck.domain.commands.queries import CommandSeen, find_command
from queuedeck.domain.commands.service import find_task
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Conflict, Invalid, NotFound, NotSupported
from queuedeck.web import urls
from queuedeck.web.edits import sent_form, with_problem
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.callform import (
    Field,
    fields_of_form,
    fields_of_signature,
    fields_of_task,
    read,
)
from queuedeck.web.views.calls import (
    CallForm,
    call_form,
    entered,
    has_errors,
    options_of,
    submit_view,
)
from queuedeck.web.views.commands import submitted_view
from queuedeck_agent import wire
from queuedeck_agent.redact import redact_value

HIDDEN = "What was hidden when it was captured is empty here: nobody but the original task has it."
GONE = "What was written into the form then is no longer kept."


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the page is about: a source, a task of it, and what is known of that."""

    sources: list[KnownSource]
    source: KnownSource | None
    names: tuple[str, ...]
    task: str
    info: wire.TaskInfo | None
    queues: tuple[str, ...]


@get("/p/{project:str}/submissions", guards=[requires(Permission.SUBMIT)])
async def show_submit(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    source: FromQuery[str] = "",
    task: FromQuery[str] = "",
    like: FromQuery[str] = "",
    key: FromQuery[int | None] = None,
    again: FromQuery[str] = "",
) -> Response[Any]:
    before: dict[str, str] = {}
    args, is_gone = b"", False
    if again:
        command = await find_command(services.control, access.project.id, again)
        source, task, args, before = _before(command)
        is_gone = not command.has_payload
    chosen = await _choose(services, access, source, task)
    if like and chosen.source:
        found = await find_task(services, access.project, chosen.source.engine, like, key)
        args = found.args
    fields = _fields(chosen, args)
    notes = (HIDDEN,) if any(field.lock for field in fields) else ()
    notes += (GONE,) if is_gone else ()
    form = None
    if chosen.task and chosen.source:
        form = _form(access, chosen, fields, before, services.clock())
    return await _answer(request, services, identity, access, chosen, form, notes)


@post("/p/{project:str}/submissions", guards=[requires(Permission.SUBMIT)], status_code=303)
async def create_submission(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    sent = await sent_form(request)
    chosen = await _choose(services, access, sent.get("source", ""), sent.get("task", ""))
    if chosen.source is None or not chosen.task:
        raise Invalid("Choose where to run which task.")
    call, fields = read(fields_of_form(sent, chosen.info), sent, kept=False)
    form = _form(access, chosen, fields, sent, services.clock())
    problem = ""
    if not has_errors(form.fields, form.options):
        try:
            command = await request_submit(
                services, access.project, chosen.source.source, chosen.task,
                entered(call, sent, services.clock()), identity.actor, once=form.once,
            )  # fmt: skip
            url = urls.submission(access.project.slug, command.id)
            return Redirect(url, status_code=303)
        except (Invalid, Conflict, NotSupported) as error:
            problem = error.message
    form = with_problem(form, problem)
    return await _answer(request, services, identity, access, chosen, form, (), 422)


@get("/p/{project:str}/submissions/{command_id:str}", guards=[requires(Permission.READ_TASKS)])
async def show_submission(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    command_id: FromPath[str],
) -> Response[Any]:
    command = await find_command(services.control, access.project.id, command_id)
    if command.verb != "submit":
        raise NotFound
    may_submit = access.allows(Permission.SUBMIT)
    view = submitted_view(command, access.project.slug, services.clock(), may_submit)
    shell = await frame(
        request, services, identity, access,
        title=f"Run {command.task_name}", place="Tasks", topics=(f"command:{command.id}",),
    )  # fmt: skip
    return page(request, "submissions/show.html", shell, view)


async def _choose(services: Services, access: Access, source: str, task: str) -> _Choice:
    project_id = access.project.id
    sources = await known_sources(services, project_id)
    chosen = next((one for one in sources if one.source == source), None)
    if chosen is None and not source and sources:
        chosen = sources[0]
    known: dict[str, wire.TaskInfo] = {}
    names: list[str] = []
    if chosen:
        known = known_tasks(services.registry, project_id, chosen.source)
        names = list(known) or await seen_names(services, project_id, chosen.source)
    return _Choice(
        sources=sources,
        source=chosen,
        names=tuple(names),
        task=task.strip(),
        info=known.get(task.strip()),
        queues=services.registry.queues(project_id, chosen.source) if chosen else (),
    )


def _fields(chosen: _Choice, args: bytes) -> tuple[Field, ...]:
    """By the signature; or as another task was called, which may be in two boxes."""
    return fields_of_task(args, chosen.info, False) if args else fields_of_signature(chosen.info)


def _form(
    access: Access,
    chosen: _Choice,
    fields: tuple[Field, ...],
    sent: Mapping[str, str],
    now_us: int,
) -> CallForm:
    source = chosen.source
    assert source is not None  # noqa: S101 - asked for by both callers
    usual = chosen.info.queue if chosen.info else ""
    options = options_of(sent, chosen.queues, source.engine, usual, now_us)
    url = urls.submissions(access.project.slug)
    return call_form(url, fields, options, "Run it", sent.get("once", ""))


def _before(command: CommandSeen) -> tuple[str, str, bytes, dict[str, str]]:
    """What was submitted before, to be changed and submitted again. Perhaps by somebody else, so
    secrets in it are hidden as agents hide them.
    """
    if command.verb != "submit":
        raise NotFound
    asked = command.details
    options = {
        "queue": asked.queue,
        "priority": str(asked.priority) if asked.priority >= 0 else "",
        "delay_s": str(asked.delay_s) if asked.delay_s else "",
    }
    call = msgspec.json.decode(asked.args or b"{}")
    return command.source, command.task_name, msgspec.json.encode(redact_value(call)), options


async def _answer(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    chosen: _Choice,
    form: CallForm | None,
    notes: tuple[str, ...],
    status: int = 200,
) -> Response[Any]:
    view = submit_view(
        access.project.slug,
        chosen.sources,
        chosen.source,
        chosen.names,
        chosen.task,
        chosen.info,
        form,
        notes,
    )
    shell = await frame(
        request, services, identity, access, title="Run a task", place="Tasks", mode="still"
    )
    return page(request, "submissions/form.html", shell, view, status)


ROUTES = [show_submit, create_submission, show_submission]
