# SPDX-License-Identifier: AGPL-3.0-only
"""Disk and retention for programs."""

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.projects.retention import Retention, set_retention
from queuedeck.domain.projects.storage import Storage, storage_of
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services


@get(
    "/storage",
    guards=[requires(Permission.READ_TASKS)],
    summary="Show what the project takes on disk, and for how long it keeps what",
    responses=errors(),
)
async def show_storage(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> Storage:
    return await storage_of(services, access.project.id)


@put(
    "/storage/retention",
    guards=[requires(Permission.MANAGE_PROJECT)],
    summary="Say for how long the project keeps its tasks, and what they carried",
    responses=errors(),
)
async def change_retention(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    data: JSONBody[Retention],
) -> Retention:
    return await set_retention(
        services.control, services.keyring, access.project, data, actor,
        server_days=services.settings.retention_days, clock=services.clock,
    )  # fmt: skip
