# SPDX-License-Identifier: Apache-2.0
"""Worker processes that died: what they ran is lost, because Huey took its message away first."""

import signal
from typing import Any

from queuedeck_agent.engines.huey.tasks import TaskHooks


def report_dead(consumer: Any, tasks: TaskHooks) -> None:
    """Called in the main process before Huey looks after its workers and starts others."""
    for slot, (_worker, process) in enumerate(list(consumer.worker_threads)):
        if process.is_alive():
            continue
        ran = tasks.running.take(slot)
        if ran is not None:
            message = f"The worker process {_ended(process.exitcode)} while it ran the task. "
            message += "Huey does not run it again by itself."
            tasks.died(ran.task_id, ran.attempt, ran.name, message)


def _ended(code: Any) -> str:
    if isinstance(code, int) and code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"exited with code {code}"
