# SPDX-License-Identifier: AGPL-3.0-only
"""The rules that give tasks a second name, or a mark: list, form with a preview, order."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.labels import service
from queuedeck.domain.labels.place import RuleInvalid
from queuedeck.domain.labels.preview import preview_rule
from queuedeck.domain.labels.queries import find_rule, rules_of
from queuedeck.domain.labels.rules import ResultTest, RuleInput, RuleKind
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Conflict, QueuedeckError
from queuedeck.web import urls
from queuedeck.web.frame import frame
from queuedeck.web.rendering import html, page, render
from queuedeck.web.views.labels import form_view, labels_view, no_preview, preview_view

RULE = "/p/{project:str}/labels/{rule:str}"
_TEXTS = ("pattern", "template", "title", "path", "value")


@get("/p/{project:str}/labels", guards=[requires(Permission.READ_TASKS)])
async def list_rules(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
) -> Response[Any]:
    view = labels_view(
        await rules_of(services.control, access.project.id),
        access.project.slug,
        may_change=access.allows(Permission.MANAGE_LABELS),
    )
    shell = await frame(
        request, services, identity, access,
        title="Labels", place="Labels", topics=(service.TOPIC,),
    )  # fmt: skip
    return page(request, "labels/list.html", shell, view)


@get("/p/{project:str}/labels/preview", guards=[requires(Permission.MANAGE_LABELS)])
async def show_preview(
    request: AnyRequest, services: NamedDependency[Services], access: NamedDependency[Access]
) -> Response[str]:
    """What the form holds at this moment, tried on the newest tasks."""
    form = _read(request.query_params)
    kind = RuleKind.MARK if form.get("kind") == RuleKind.MARK else RuleKind.LABEL
    try:
        rule = _rule(kind, form)
        view = preview_view(
            await preview_rule(services, access.project.id, rule), rule, access.project.slug
        )
    except RuleInvalid as error:
        view = no_preview(error)
    return html(render("labels/_preview.html", preview=view))


@get(RULE, guards=[requires(Permission.MANAGE_LABELS)])
async def show_form(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    rule: FromPath[str],
) -> Response[Any]:
    """Of a new rule, filled from the address, or of one that is there."""
    if rule in set(RuleKind):
        given = _rule(RuleKind(rule), _read(request.query_params))
    else:
        given = (await find_rule(services.control, access.project.id, read_number(rule))).input
    return await _form(request, services, identity, access, rule, given)


@post(RULE, guards=[requires(Permission.MANAGE_LABELS)])
async def save_rule(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    rule: FromPath[str],
) -> Response[Any]:
    form, project = _read(await request.form()), access.project
    is_new = rule in set(RuleKind)
    kind = (
        RuleKind(rule)
        if is_new
        else (await find_rule(services.control, project.id, read_number(rule))).kind
    )
    given = RuleInput(kind=kind, pattern="")
    try:
        given = _rule(kind, form)
        if is_new:
            await service.create_rule(services, project, given, actor)
        else:
            await service.change_rule(services, project, read_number(rule), given, actor)
    except (RuleInvalid, Conflict) as error:
        return await _form(request, services, identity, access, rule, given, error)
    return Redirect(urls.labels(project.slug), status_code=303)


@post(RULE + "/deletions", guards=[requires(Permission.MANAGE_LABELS)])
async def delete_rule(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    rule: FromPath[str],
) -> Redirect:
    await service.delete_rule(services, access.project, read_number(rule), actor)
    return Redirect(urls.labels(access.project.slug), status_code=303)


@post(RULE + "/moves", guards=[requires(Permission.MANAGE_LABELS)])
async def move_rule(
    request: AnyRequest,
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    rule: FromPath[str],
) -> Redirect:
    number = read_number(rule)
    to = _read(await request.form()).get("to", "")
    await service.move_rule(services, access.project, number, read_number(to), actor)
    return Redirect(urls.labels(access.project.slug), status_code=303)


@post("/p/{project:str}/labels/defaults", guards=[requires(Permission.MANAGE_LABELS)])
async def switch_defaults(
    request: AnyRequest,
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
) -> Redirect:
    on = _read(await request.form()).get("on") == "1"
    await service.switch_defaults(services, access.project, actor, on=on)
    return Redirect(urls.labels(access.project.slug), status_code=303)


async def _form(
    request: AnyRequest,
    services: Services,
    identity: Identity,
    access: Access,
    rule: str,
    given: RuleInput,
    error: QueuedeckError | None = None,
) -> Response[Any]:
    view = form_view(given, access.project.slug, rule, error)
    shell = await frame(
        request, services, identity, access, title=view.title, place="Labels", mode="still"
    )
    return page(request, "labels/form.html", shell, view, status=error.status if error else 200)


def _read(form: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _rule(kind: RuleKind, form: Mapping[str, str]) -> RuleInput:
    """What was typed; spaces around it are no part of it, but for templates and values."""
    texts = {name: form.get(name, "") for name in _TEXTS}
    for name in ("pattern", "title", "path"):
        texts[name] = texts[name].strip()
    test = form.get("test", "") or ResultTest.EQUALS
    if test not in set(ResultTest):
        raise RuleInvalid("test", f"There is no test {test[:40]!r}", 0, len(test))
    return RuleInput(kind=kind, test=ResultTest(test), **texts)


ROUTES = [
    list_rules,
    show_preview,
    switch_defaults,
    show_form,
    save_rule,
    delete_rule,
    move_rule,
]
