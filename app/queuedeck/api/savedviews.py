# SPDX-License-Identifier: AGPL-3.0-only
"""Saved views for programs: list, save, remove."""

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.savedviews.service import ViewSeen, remove_view, save_view, views_of
from queuedeck.domain.savedviews.system import SYSTEM_VIEWS, SystemView
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import read_number
from queuedeck.entrance.services import Services


class ViewInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    q: str
    """The filter, in the language of the task list."""
    team: bool = True
    """For everybody in the project; false: for the person who asks. A token is no person."""


class ViewList(msgspec.Struct, frozen=True):
    system: list[SystemView]
    """The same in every project."""
    saved: list[ViewSeen]
    """The team's, and those of the person who asks."""


class ViewAnswer(msgspec.Struct, frozen=True):
    view: ViewSeen


@get(
    "/views",
    guards=[requires(Permission.READ_TASKS)],
    summary="List the saved views of tasks",
    responses=errors(),
)
async def list_views(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
) -> ViewList:
    return ViewList(list(SYSTEM_VIEWS), await views_of(services.control, access.project.id, actor))


@post(
    "/views",
    guards=[requires(Permission.READ_TASKS)],
    status_code=201,
    summary="Save a filter of tasks under a name",
    responses=errors(409, 422, 503),
)
async def create_view(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: JSONBody[ViewInput],
) -> ViewAnswer:
    made = await save_view(
        services.control, services.keyring, services.clock, access, actor,
        name=data.name, text=data.q, is_team=data.team,
    )  # fmt: skip
    return ViewAnswer(made)


@delete(
    "/views/{view_id:str}",
    guards=[requires(Permission.READ_TASKS)],
    status_code=204,
    summary="Remove a saved view",
    responses=errors(503),
)
async def delete_view(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    view_id: FromPath[str],
) -> None:
    await remove_view(
        services.control, services.keyring, services.clock, access, actor, read_number(view_id)
    )


HANDLERS = [list_views, create_view, delete_view]
