# SPDX-License-Identifier: Apache-2.0
"""What Celery itself knows of one task: its workers, by remote control, and its result backend."""

from typing import Any

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
    asked = app.control.inspect(timeout=ASK_WORKERS_S)
    for worker, found in (asked.query_task([task_id]) or {}).items():
        if task_id in found:
            place = str(found[task_id][0])
            return ("active" if place == "active" else "reserved"), str(worker)
    for worker, found in ((asked.scheduled() or {}) if scheduled else {}).items():
        for one in found:
            if (one.get("request") or {}).get("id") == task_id:
                return "scheduled", str(worker)
    return "", ""


def stored_state(app: Any, task_id: str) -> tuple[str, str] | None:
    """(our word, Celery's) if the backend says that it has ended. Nothing is consumed: a backend
    that would give the result away is not asked."""
    backend = app.backend
    kinds = {kind.__name__ for kind in type(backend).__mro__}
    if not kinds.intersection(_READABLE):
        return None
    state = str(backend.get_state(task_id))
    return (_ENDED[state], state) if state in _ENDED else None
