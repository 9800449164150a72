# SPDX-License-Identifier: Apache-2.0
"""What Celery itself knows of one task: its workers, by remote control, and its result backend."""

from typing import Any

from queuedeck_agent.engines.celery.queues import own_connection

ASK_WORKERS_S = 1.0
_ENDED = {"SUCCESS": "succeeded", "FAILURE": "failed", "REVOKED": "cancelled"}
_READABLE = ("KeyValueStoreBackend", "DatabaseBackend", "MongoBackend")
"""Others, `rpc` most of all, give a result to the first who asks."""


def runs_here(task_id: str) -> bool:
    """Whether this worker runs it now."""
    from celery.worker import state

    return any(request.id == task_id for request in list(state.active_requests))


def ask_workers(app: Any, task_id: str, scheduled: bool = False) -> tuple[str, str]:
    """(`active`, `reserved` or `scheduled`; the worker), or two empty texts. Tasks for later are
    asked for only if wanted: workers answer with all that they hold."""
    with own_connection(app) as connection:
        asked = app.control.inspect(timeout=ASK_WORKERS_S, connection=connection)
        for worker, found in (asked.query_task([task_id]) or {}).items():
            if task_id in found:
                place = str(found[task_id][0])
                return ("active" if place == "active" else "reserved"), str(worker)
        for worker, found in ((asked.scheduled() or {}) if scheduled else {}).items():
            for one in found:
                if (one.get("request") or {}).get("id") == task_id:
                    return "scheduled", str(worker)
    return "", ""


def held_name(app: Any, task_id: str) -> str:
    """The name of a task that a worker runs or has taken, by its own word; else nothing."""
    with own_connection(app) as connection:
        asked = app.control.inspect(timeout=ASK_WORKERS_S, connection=connection)
        for found in (asked.query_task([task_id]) or {}).values():
            if task_id in found:
                return str(found[task_id][1].get("name") or "")
    return ""


def revoke(app: Any, task_id: str, **how: Any) -> None:
    """Tells all workers; they do not answer."""
    with own_connection(app) as connection:
        app.control.revoke(task_id, connection=connection, **how)


def stored_state(app: Any, task_id: str) -> tuple[str, str] | None:
    """(our word, Celery's) if the backend says that it has ended. Nothing is consumed: a backend
    that would give the result away is not asked."""
    backend = app.backend
    kinds = {kind.__name__ for kind in type(backend).__mro__}
    if not kinds.intersection(_READABLE):
        return None
    state = str(backend.get_state(task_id))
    return (_ENDED[state], state) if state in _ENDED else None
