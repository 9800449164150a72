# SPDX-License-Identifier: AGPL-3.0-only
"""Queues for programs."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from queuedeck.api.views import errors
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.overview import QueueLine, queue_lines
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services


class QueueList(msgspec.Struct, frozen=True):
    queues: list[QueueLine]
    """Those that wait longest first. What nobody knows is null."""


@get(
    "/queues",
    guards=[requires(Permission.READ_TASKS)],
    summary="List queues with what waits in them, and what comes and leaves",
    responses=errors(),
)
async def list_queues(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> QueueList:
    s = services
    return QueueList(
        await queue_lines(s.history, s.registry, s.watches, s.clock, access.project.id)
    )
