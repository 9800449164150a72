# SPDX-License-Identifier: AGPL-3.0-only
"""Rules of labels and marks for programs."""

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.labels import service
from queuedeck.domain.labels.preview import RulePreview, preview_rule
from queuedeck.domain.labels.queries import ProjectRules, RuleSeen, find_rule, rules_of
from queuedeck.domain.labels.rules import RuleInput
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services

RULE = "/labels/{rule:str}"


class RuleMove(msgspec.Struct, frozen=True):
    to: int
    """The place among the rules of its kind, from 0."""


class DefaultsInput(msgspec.Struct, frozen=True):
    on: bool
    """Whether the rules that are shipped go behind the project's own."""


@get(
    "/labels",
    guards=[requires(Permission.READ_TASKS)],
    summary="List the rules that name and mark tasks, in their order",
    responses=errors(),
)
async def list_rules(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> ProjectRules:
    return await rules_of(services.control, access.project.id)


@post(
    "/labels",
    guards=[requires(Permission.MANAGE_LABELS)],
    summary="Add a rule behind the others",
    responses=errors(409, 422, 503),
)
async def create_rule(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: JSONBody[RuleInput],
) -> RuleSeen:
    return await service.create_rule(services, access.project, data, actor)


@post(
    "/labels/preview",
    guards=[requires(Permission.MANAGE_LABELS)],
    status_code=200,
    summary="Try a rule on the newest tasks that it fits; nothing is kept",
    responses=errors(422),
)
async def try_rule(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    data: JSONBody[RuleInput],
) -> RulePreview:
    return await preview_rule(services, access.project.id, data)


@put(
    "/labels/defaults",
    guards=[requires(Permission.MANAGE_LABELS)],
    summary="Switch the rules that are shipped on or off",
    responses=errors(503),
)
async def switch_defaults(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: JSONBody[DefaultsInput],
) -> ProjectRules:
    return await service.switch_defaults(services, access.project, actor, on=data.on)


@get(
    RULE,
    guards=[requires(Permission.READ_TASKS)],
    summary="Show one rule",
    responses=errors(),
)
async def show_rule(
    services: NamedDependency[Services], access: NamedDependency[Access], rule: FromPath[str]
) -> RuleSeen:
    return await find_rule(services.control, access.project.id, read_number(rule))


@put(
    RULE,
    guards=[requires(Permission.MANAGE_LABELS)],
    summary="Write a rule anew, at its place in the order",
    responses=errors(409, 422, 503),
)
async def change_rule(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    rule: FromPath[str],
    data: JSONBody[RuleInput],
) -> RuleSeen:
    return await service.change_rule(services, access.project, read_number(rule), data, actor)


@delete(
    RULE,
    guards=[requires(Permission.MANAGE_LABELS)],
    summary="Delete a rule; tasks keep what it gave them",
    responses=errors(503),
)
async def delete_rule(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    rule: FromPath[str],
) -> None:
    await service.delete_rule(services, access.project, read_number(rule), actor)


@post(
    RULE + "/moves",
    guards=[requires(Permission.MANAGE_LABELS)],
    status_code=200,
    summary="Put a rule at another place among those of its kind",
    responses=errors(503),
)
async def move_rule(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    rule: FromPath[str],
    data: JSONBody[RuleMove],
) -> ProjectRules:
    return await service.move_rule(services, access.project, read_number(rule), data.to, actor)


HANDLERS = [
    list_rules,
    create_rule,
    try_rule,
    switch_defaults,
    show_rule,
    change_rule,
    delete_rule,
    move_rule,
]
