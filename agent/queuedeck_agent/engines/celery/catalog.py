# SPDX-License-Identifier: Apache-2.0
"""The tasks of a Celery application, without those of Celery itself."""

from typing import Any

from queuedeck_agent.catalog import Registered


def registered(engine: Any) -> list[Registered]:
    """From the application's registry. Routers are its code, and not asked for the queue."""
    app = engine.app
    return [
        Registered(
            name=str(name),
            function=getattr(task, "_orig_run", task.run),
            queue=_queue_of(app, str(name), task),
            max_retries=_number(task.max_retries, -1),
            time_limit_s=_number(task.time_limit or task.soft_time_limit, 0)
            or _number(app.conf.task_time_limit or app.conf.task_soft_time_limit, 0),
            rate=str(task.rate_limit or ""),
        )
        for name, task in list(app.tasks.items())
        if not str(name).startswith("celery.")
    ]


def _queue_of(app: Any, name: str, task: Any) -> str:
    own = getattr(task, "queue", None)
    if own:
        return str(own)
    routes = app.conf.task_routes
    if not routes:
        return str(app.conf.task_default_queue or "")
    if isinstance(routes, dict) and isinstance(route := routes.get(name), dict):
        return str(route.get("queue") or "")
    return ""


def _number(value: Any, unknown: int) -> int:
    return int(value) if isinstance(value, (int, float)) else unknown
