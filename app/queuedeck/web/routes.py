# SPDX-License-Identifier: AGPL-3.0-only
"""Everything of this package that the application mounts."""

from litestar.types import ControllerRouterHandler

from queuedeck.web import (
    agents,
    audit,
    commands,
    connect,
    edits,
    exports,
    failures,
    home,
    labels,
    live,
    login,
    operations,
    pauses,
    queues,
    savedviews,
    setup,
    static,
    storage,
    styleguide,
    submissions,
    suggestions,
    task_commands,
    tasks,
    trends,
    workers,
)
from queuedeck.web.errors import error_page

ROUTES: list[ControllerRouterHandler] = [
    *home.ROUTES,
    *setup.ROUTES,
    *login.ROUTES,
    *tasks.ROUTES,
    *suggestions.ROUTES,
    *exports.ROUTES,
    *savedviews.ROUTES,
    *failures.ROUTES,
    *operations.ROUTES,
    *queues.ROUTES,
    *pauses.ROUTES,
    *workers.ROUTES,
    *trends.ROUTES,
    *edits.ROUTES,
    *submissions.ROUTES,
    *task_commands.ROUTES,
    *commands.ROUTES,
    *agents.ROUTES,
    *audit.ROUTES,
    *connect.ROUTES,
    *live.ROUTES,
    *storage.ROUTES,
    *labels.ROUTES,
    *static.ROUTES,
    *styleguide.ROUTES,
]

__all__ = ["ROUTES", "error_page"]
