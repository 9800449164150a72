# SPDX-License-Identifier: AGPL-3.0-only
"""All routes for programs, and how OpenAPI describes them."""

from litestar import Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from queuedeck import __version__
from queuedeck.api import (
    labels,
    operations,
    pauses,
    queues,
    savedviews,
    submissions,
    task_commands,
    workers,
)
from queuedeck.api.audit import list_audit
from queuedeck.api.commands import cancel_task, retry_task, show_command
from queuedeck.api.health import healthz, readyz
from queuedeck.api.reconciliation import show_reconciliation
from queuedeck.api.storage import change_retention, show_storage
from queuedeck.api.tasks import (
    count_facets,
    export_tasks,
    list_tasks,
    show_histogram,
    show_task,
    show_totals,
)
from queuedeck.api.trends import list_failures, list_task_trends, show_failure, show_trend
from queuedeck.entrance.guards import public

BASE = "/api/v1"

ROUTES = [
    healthz,
    readyz,
    Router(
        BASE + "/projects/{project:str}",
        route_handlers=[
            list_tasks,
            count_facets,
            show_histogram,
            export_tasks,
            show_task,
            show_totals,
            *savedviews.HANDLERS,
            retry_task,
            cancel_task,
            show_command,
            *task_commands.HANDLERS,
            *submissions.HANDLERS,
            list_audit,
            show_trend,
            list_task_trends,
            list_failures,
            show_failure,
            *operations.ROUTES,
            *queues.HANDLERS,
            *pauses.HANDLERS,
            *workers.HANDLERS,
            show_reconciliation,
            show_storage,
            change_retention,
            *labels.HANDLERS,
        ],
    ),
]


def openapi_config() -> OpenAPIConfig:
    """One JSON document and no page: the usual viewers load scripts from elsewhere."""
    return OpenAPIConfig(
        title="Queuedeck",
        version=__version__,
        description='Errors are `{"error": {"code": ..., "message": ...}}`.',
        # A router of its own: Litestar answers unknown paths below it with a page of its own.
        openapi_router=Router(
            BASE + "/openapi.json", route_handlers=[], guards=[public()], include_in_schema=False
        ),
        render_plugins=[JsonRenderPlugin(path="/")],
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http", scheme="bearer", description="An API token, `qd_pat_...`."
                )
            }
        ),
        security=[{"token": []}],
    )
