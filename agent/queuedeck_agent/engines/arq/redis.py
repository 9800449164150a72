# SPDX-License-Identifier: Apache-2.0
"""Takes one waiting job out of arq's queue, by the application's own connection."""

from typing import Any, NamedTuple

_TRIES = 5


class Found(NamedTuple):
    """What became of it: `removed`, `running`, or `gone`."""

    place: str
    attempt: int = 1


async def remove(pool: Any, queues: "list[str]", job_id: str) -> Found:
    """Removes the job unless a worker has it. A worker that takes it at this moment wins."""
    from arq import constants
    from redis.exceptions import WatchError

    in_progress = constants.in_progress_key_prefix + job_id
    job, retry = constants.job_key_prefix + job_id, constants.retry_key_prefix + job_id
    for _ in range(_TRIES):
        async with pool.pipeline(transaction=True) as pipe:
            try:
                await pipe.watch(in_progress, job)
                if await pipe.exists(in_progress):
                    return Found("running")
                queue = ""
                for one in queues:
                    if await pipe.zscore(one, job_id) is not None:
                        queue = one
                        break
                if not queue:
                    return Found("gone")
                tries = int(await pipe.get(retry) or 0)
                pipe.multi()
                pipe.zrem(queue, job_id)
                pipe.delete(job, retry)
                pipe.zrem(constants.abort_jobs_ss, job_id)
                removed, *_rest = await pipe.execute()
                if removed:
                    return Found("removed", tries + 1)
            except WatchError:
                continue
    return Found("running")
