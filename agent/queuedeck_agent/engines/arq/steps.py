# SPDX-License-Identifier: Apache-2.0
"""Steps around arq's methods that need nothing of the adapter; `boot` puts all of them in place."""

import functools
from collections.abc import Callable
from typing import Any

from queuedeck_agent.engines.arq.jobs import Run
from queuedeck_agent.engines.arq.publish import firing, running
from queuedeck_agent.engines.patches import Method
from queuedeck_agent.guard import contained


class JobTasks(dict[str, Any]):
    """`Worker.job_tasks`, which tells how each task ended, before the worker goes on."""

    def __init__(self, tasks: "dict[str, Any]", ended: Callable[..., Any]) -> None:
        super().__init__(tasks)
        self._ended = ended

    def __setitem__(self, job_id: str, task: Any) -> None:
        super().__setitem__(job_id, task)
        run: Run | None = running.get()
        if run is not None and run.started and run.job_id == job_id:
            task.add_done_callback(functools.partial(self._ended, run))


def run_cron(original: Method) -> Method:
    """What is sent meanwhile is sent by the worker's cron."""

    async def run_cron(worker: Any, *args: Any, **named: Any) -> Any:
        firing.set(True)
        try:
            return await original(worker, *args, **named)
        finally:
            firing.set(False)

    return run_cron


@contained
def note_result(run: Run, args: Any, named: "dict[str, Any]") -> None:
    """(function, args, kwargs, job_try, enqueue time, success, result, ...), in either way."""
    run.attempt = int(named["job_try"] if "job_try" in named else args[3])
    result = named["result"] if "result" in named else args[6]
    run.concluded = result if isinstance(result, BaseException) else None


def in_place_of(original: Method, made: Method) -> Method:
    """With its signature, name and text."""
    wrapped = functools.wraps(original)(made)
    wrapped.queuedeck_original = original  # type: ignore[attr-defined]
    return wrapped
