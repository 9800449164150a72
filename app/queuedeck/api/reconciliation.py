# SPDX-License-Identifier: AGPL-3.0-only
"""How reconciling goes, for programs."""

from litestar import get
from litestar.di import NamedDependency

from queuedeck.api.views import errors
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.reconcile.truth import Truth
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services


@get(
    "/reconciliation",
    guards=[requires(Permission.READ_AGENTS)],
    summary="Tell when tasks that seem stuck were last looked for, and what came of it",
    responses=errors(),
)
async def show_reconciliation(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> Truth:
    every_s = services.settings.reconcile_every_s
    return services.truths.of(access.project.id, services.clock(), every_s)
