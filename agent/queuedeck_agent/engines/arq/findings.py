# SPDX-License-Identifier: Apache-2.0
"""arq's settings that can hurt."""

from typing import Any

from queuedeck_agent.findings import open_redis_with_pickle

LONG_S = 24 * 3_600.0


def find(engine: Any) -> list[str]:
    found: list[str] = []
    for worker in list(engine.workers):
        if worker.job_serializer is None and worker._pool is not None:
            kwargs = worker._pool.connection_pool.connection_kwargs
            found += open_redis_with_pickle(kwargs, "set job_serializer and job_deserializer")
        if worker.job_timeout_s > LONG_S:
            found.append(
                f"A job may run for {worker.job_timeout_s:g} s: one that hangs keeps its place, "
                "and one whose worker is killed is not started again before that. Set job_timeout."
            )
        if not worker.allow_abort_jobs:
            found.append(
                "allow_abort_jobs is off: `Job.abort()` of your own code, and a stop that comes by "
                "another worker, cannot reach a job that runs here. Turn it on if you need that."
            )
    return found
