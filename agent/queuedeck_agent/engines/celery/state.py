# SPDX-License-Identifier: Apache-2.0
"""What Celery itself knows of one task: its workers, by remote control, and its result backend."""

from typing import Any, NamedTuple

from queuedeck_agent.engines.celery.queues import own_connection

ASK_WORKERS_S = 1.0
_ENDED = {"SUCCESS": "succeeded", "FAILURE": "failed", "REVOKED": "cancelled"}
_READABLE = ("KeyValueStoreBackend", "DatabaseBackend", "MongoBackend")
"""Others, `rpc` most of all, give a result to the first who asks."""


def runs_here(task_id: str) -> bool:
    """Whether this worker runs it now."""
    return bool(name_here(task_id))


def name_here(task_id: str) -> str:
    """The name of a task that this worker runs now; empty if it does not."""
    from celery.worker import state

    running = (one for one in list(state.active_requests) if one.id == task_id)
    return next((str(one.name) for one in running), "")


class Held(NamedTuple):
    """What a worker says of a task that it has."""

    place: str
    """`active`, `reserved` or `scheduled`; empty: no worker that answered has it."""
    worker: str = ""
    name: str = ""


def ask_workers(app: Any, task_id: str, scheduled: bool = False) -> Held:
    """Which worker has the task. Tasks for later are asked for only if wanted: workers answer with
    all that they hold."""
    with own_connection(app) as connection:
        asked = app.control.inspect(timeout=ASK_WORKERS_S, connection=connection)
        for worker, found in (asked.query_task([task_id]) or {}).items():
            if task_id in found:
                place, about = found[task_id]
                place = "active" if place == "active" else "reserved"
                return Held(place, str(worker), str(about.get("name") or ""))
        for worker, found in ((asked.scheduled() or {}) if scheduled else {}).items():
            for one in found:
                about = one.get("request") or {}
                if about.get("id") == task_id:
                    return Held("scheduled", str(worker), str(about.get("name") or ""))
    return Held("")


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
