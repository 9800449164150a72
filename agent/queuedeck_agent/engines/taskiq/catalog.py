# SPDX-License-Identifier: Apache-2.0
"""The tasks of taskiq brokers."""

import inspect
from typing import Any

from queuedeck_agent.catalog import Registered
from queuedeck_agent.engines.taskiq import source as taskiq_source


def registered(engine: Any) -> list[Registered]:
    """Limits are labels; what taskiq's dependencies fill in is no argument of the caller's."""
    return list({one.name: one for broker in engine.brokers[::-1] for one in _of(broker)}.values())


def _of(broker: Any) -> list[Registered]:
    return [
        Registered(
            name=str(name),
            function=task.original_func,
            queue=taskiq_source.queue_of(broker, task.labels),
            max_retries=_number(task.labels.get("max_retries")) if _retries(task) else 0,
            time_limit_s=max(0.0, _number(task.labels.get("timeout"))),
            given=_filled_in(task.original_func),
        )
        for name, task in list(broker.get_all_tasks().items())
    ]


def _retries(task: Any) -> bool:
    return bool(task.labels.get("retry_on_error")) or "max_retries" in task.labels


def _number(value: Any) -> int:
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return -1


def _filled_in(function: Any) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters if type(p.default).__name__ == "Dependency")
