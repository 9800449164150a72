# SPDX-License-Identifier: Apache-2.0
"""RQ's settings that can hurt."""

from typing import Any

from queuedeck_agent.findings import open_redis_with_pickle


def find(engine: Any) -> list[str]:
    worker, found = engine.worker, list[str]()
    if getattr(worker.serializer, "__name__", "").lower().find("json") < 0:
        kwargs = engine.connection.connection_pool.connection_kwargs
        found += open_redis_with_pickle(kwargs, "use RQ's JSONSerializer")
    if not hasattr(worker, "fork_work_horse"):
        found.append(
            "Jobs run in the worker's own process: one that crashes or leaks takes the worker with "
            "it, and none can be stopped. Use RQ's Worker where the system can fork."
        )
    endless = [q.name for q in worker.queues if getattr(q, "_default_timeout", None) in (-1, 0)]
    if endless:
        found.append(
            f"Queue {', '.join(endless)} has no time limit: a job that hangs keeps its worker for "
            "ever. Give the queue a default_timeout."
        )
    return found
