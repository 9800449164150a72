# SPDX-License-Identifier: AGPL-3.0-only
"""The tasks of `tasks.py` in a Huey application. It imports nothing of ours."""

from typing import Any

from huey import RedisHuey
from huey.api import Task
from tests.conformance import tasks

PLACE = "tests.conformance.tasks"
NAMES = (
    "add", "note", "digest", "login", "fail", "sleep", "leaves", "reports", "forks", "vanishes",
    "reports_for_ever",
)  # fmt: skip


def application(queue: str) -> Any:
    """A Huey queue is an instance of its own."""
    made = RedisHuey(queue, url=tasks.BROKER)
    # Named here: where taskiq shares the process, it has renamed the functions that it took.
    for name in NAMES:
        made.task(name=name)(getattr(tasks, name))
    made.task(name="again", retries=1, retry_delay=1)(tasks.again)

    def sends_another() -> str:
        return str(send(made, f"{PLACE}.add", (2, 3), {}))

    sends_another.__module__ = PLACE
    made.task()(sends_another)
    return made


def signature(app: Any, name: str, args: Any, kwargs: Any, **options: Any) -> Any:
    """A task, of a name that need not be known to the worker."""
    try:
        kind = app._registry.string_to_task(name)
    except Exception:
        kind = type(name.rpartition(".")[2], (Task,), {"__module__": name.rpartition(".")[0]})
        app._registry.register(kind)
    delay = options.pop("delay", 0)
    made = kind(args, kwargs, **options)
    if delay:
        from huey.utils import normalize_time

        made.eta = normalize_time(delay=delay)
    return made


def send(app: Any, name: str, args: Any, kwargs: Any, **options: Any) -> str:
    """Its id."""
    made = signature(app, name, args, kwargs, **options)
    app.enqueue(made)
    return made.id


def send_after(app: Any, first: Any, second: Any) -> str:
    """A pipeline: the second gets what the first returns. Both ids."""
    last = signature(app, *second)
    made = signature(app, *first).then(last)
    app.enqueue(made)
    return f"{made.id} {last.id}"


def eager(app: Any, name: str, args: Any) -> Any:
    """Runs it here and now."""
    app.immediate = True
    try:
        return app.enqueue(signature(app, name, args, {})).get()
    finally:
        app.immediate = False


huey = application(tasks.QUEUE)
