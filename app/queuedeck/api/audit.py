# SPDX-License-Identifier: AGPL-3.0-only
"""The audit log of a project for programs, newest first."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from queuedeck.api.views import errors
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.audit.queries import AuditLine, list_entries
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services


class AuditList(msgspec.Struct, frozen=True):
    entries: list[AuditLine]
    next: str | None
    """Pass as `after` for the next, older page; null when this is the last."""


@get(
    "/audit",
    guards=[requires(Permission.READ_AUDIT)],
    summary="List audit entries",
    responses=errors(422),
)
async def list_audit(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    limit: Annotated[int, QueryParameter(ge=1, le=200, description="How many, at most.")] = 50,
    after: Annotated[int | None, QueryParameter(ge=1)] = None,
) -> AuditList:
    page = await list_entries(services.control, access.project.slug, after=after, limit=limit)
    return AuditList(page.entries, None if page.after is None else str(page.after))
