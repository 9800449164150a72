# SPDX-License-Identifier: Apache-2.0
"""The functions of the arq workers in this process; other processes know only names."""

from typing import Any

from queuedeck_agent.catalog import Registered


def registered(engine: Any) -> list[Registered]:
    """The context comes first, and is no argument of the caller's."""
    found: dict[str, Registered] = {}
    for worker in list(engine.workers):
        for name, function in list(worker.functions.items()):
            if str(name).startswith("cron:"):
                continue
            tries = getattr(function, "max_tries", None) or worker.max_tries
            limit = getattr(function, "timeout_s", None)
            found[str(name)] = Registered(
                name=str(name),
                function=function.coroutine,
                queue=str(worker.queue_name),
                max_retries=int(tries) - 1,
                time_limit_s=float(worker.job_timeout_s if limit is None else limit),
                skip=1,
            )
    return list(found.values())
