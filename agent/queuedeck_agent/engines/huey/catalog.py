# SPDX-License-Identifier: Apache-2.0
"""The tasks of the Huey instances on one storage."""

from typing import Any

from queuedeck_agent.catalog import Registered
from queuedeck_agent.engines.huey.call import function_of


def registered(engine: Any) -> list[Registered]:
    """A queue is an instance; a task that wants its own context is given it by Huey."""
    found: dict[str, Registered] = {}
    for queue, huey in list(engine.hueys.items()):
        for name, kind in list(huey._registry._registry.items()):
            limit = getattr(kind, "default_timeout", None)
            found[str(name)] = Registered(
                name=str(name),
                function=function_of(kind),
                queue=str(queue),
                max_retries=int(getattr(kind, "default_retries", 0) or 0),
                time_limit_s=float(limit) if isinstance(limit, (int, float)) else 0,
                given=("task",) if getattr(kind, "context", False) else (),
            )
    return list(found.values())
