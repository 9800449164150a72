# SPDX-License-Identifier: Apache-2.0
"""What is done in arq's queues, by the application's own connection, each step in one script.

A worker looks at a job's mark in Redis (`arq:in-progress:`), then sets it, and gives up if it was
touched in between (WATCH). The scripts touch it: a worker and we never have the same job.
"""

import time
from typing import Any, NamedTuple

CHUNK = 500
"""Jobs that one script removes at most: Redis does nothing else meanwhile."""
NAMED_BYTES = 16 * 1024
"""Messages beyond it are not read for the name of their task."""

_TAKE = """
local gone = {}
for at = 5, #ARGV do
  local id = ARGV[at]
  local mark, job, tries = ARGV[1] .. id, ARGV[2] .. id, ARGV[3] .. id
  if redis.call('EXISTS', mark) == 0 and redis.call('ZREM', KEYS[1], id) == 1 then
    redis.call('SET', mark, '1')
    redis.call('DEL', mark)
    local message = ''
    if redis.call('STRLEN', job) <= tonumber(ARGV[4]) then
      message = redis.call('GET', job) or ''
    end
    gone[#gone + 1] = {id, redis.call('GET', tries) or '0', message}
    redis.call('DEL', job, tries)
    redis.call('ZREM', KEYS[2], id)
  end
end
return gone
"""
_MOVE = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not score then return 'gone' end
local mark = ARGV[1] .. ARGV[2]
if redis.call('EXISTS', mark) == 1 then return 'running' end
redis.call('ZADD', KEYS[2], score, ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('SET', mark, '1')
redis.call('DEL', mark)
return 'moved'
"""


class Taken(NamedTuple):
    """A job that was removed."""

    job_id: str
    attempt: int
    """The one that it waited for."""
    message: bytes
    """As the application wrote it; empty if it is large, or had expired."""


class Waiting(NamedTuple):
    """A job that is due and that no worker has."""

    job_id: str
    score: int
    attempt: int
    message: bytes


async def remove(pool: Any, queues: "list[str]", job_id: str) -> "Taken | str":
    """The job, or where it is: `running` or `gone`. A worker that takes it at this moment wins."""
    from arq import constants

    for queue in queues:
        for taken in await _take(pool, queue, [job_id]):
            return taken
    is_marked = await pool.exists(constants.in_progress_key_prefix + job_id)
    return "running" if is_marked else "gone"


async def move(pool: Any, queues: "list[str]", job_id: str, target: str) -> str:
    """`moved`, `running`, or `gone`; when it is due, and its tries, stay."""
    from arq import constants

    queue = await _queue_of(pool, queues, job_id)
    if queue is None:
        return "gone"
    if queue == target:
        return "there"
    found = await pool.eval(_MOVE, 2, queue, target, constants.in_progress_key_prefix, job_id)
    return found.decode() if isinstance(found, bytes) else str(found)


async def purge_some(
    pool: Any, queue: str, until_ms: int, skipped: int
) -> "tuple[list[Taken], int]":
    """Of the next jobs that were due then: what was removed, and how many were looked at."""
    ids = await _due(pool, queue, until_ms, skipped)
    return await _take(pool, queue, ids) if ids else [], len(ids)


async def peek(pool: Any, queue: str, amount: int, most_bytes: int) -> "list[Waiting]":
    """The first that are due, by the moment when they were due. Nothing is changed."""
    from arq import constants

    now_ms = time.time_ns() // 1_000_000
    found: list[tuple[bytes, float]] = []
    skipped = 0
    while len(found) < amount:
        pairs = await pool.zrangebyscore(
            queue, float("-inf"), now_ms, start=skipped, num=CHUNK, withscores=True
        )
        skipped += len(pairs)
        marks = [constants.in_progress_key_prefix.encode() + job_id for job_id, _ in pairs]
        runs = await _pipe(pool, [("EXISTS", mark) for mark in marks])
        found += [pair for pair, is_running in zip(pairs, runs, strict=True) if not is_running]
        if len(pairs) < CHUNK:
            break
    found = found[:amount]
    keys = [job_id.decode() for job_id, _ in found]
    jobs = [constants.job_key_prefix + key for key in keys]
    sizes = await _pipe(pool, [("STRLEN", job) for job in jobs])
    read = [("GET", job) for job, size in zip(jobs, sizes, strict=True) if size <= most_bytes]
    messages = dict(zip([key for _, key in read], await _pipe(pool, read), strict=True))
    tries = await _pipe(pool, [("GET", constants.retry_key_prefix + key) for key in keys])
    return [
        Waiting(key, int(score), int(tried or 0) + 1, messages.get(job) or b"")
        for key, job, tried, (_, score) in zip(keys, jobs, tries, found, strict=True)
    ]


async def due_and_free(pool: Any, queue: str, until_ms: int) -> int:
    """How many of the first jobs that were due then no worker has."""
    from arq import constants

    ids = await _due(pool, queue, until_ms, 0)
    prefix = constants.in_progress_key_prefix.encode()
    return (await _pipe(pool, [("EXISTS", prefix + job_id) for job_id in ids])).count(0)


class Known(NamedTuple):
    """All that Redis has of one job."""

    result: "bytes | None"
    mark_ms: int
    """How long the mark of the worker that runs it will stay; negative without one."""
    queue: "str | None"
    score: int
    tries: int


async def look(pool: Any, queues: "list[str]", job_id: str) -> Known:
    """Reads, in arq's own order: a result counts before a mark, and that before a queue."""
    from arq import constants

    result, mark_ms, tries = await _pipe(
        pool,
        [
            ("GET", constants.result_key_prefix + job_id),
            ("PTTL", constants.in_progress_key_prefix + job_id),
            ("GET", constants.retry_key_prefix + job_id),
        ],
    )
    queue = await _queue_of(pool, queues, job_id)
    score = await pool.zscore(queue, job_id) if queue is not None else 0
    return Known(result, int(mark_ms), queue, int(score or 0), int(tries or 0))


async def _take(pool: Any, queue: str, ids: "list[Any]") -> "list[Taken]":
    from arq import constants

    gone = await pool.eval(
        _TAKE,
        2,
        queue,
        constants.abort_jobs_ss,
        constants.in_progress_key_prefix,
        constants.job_key_prefix,
        constants.retry_key_prefix,
        NAMED_BYTES,
        *ids,
    )
    return [Taken(job_id.decode(), int(tries) + 1, message) for job_id, tries, message in gone]


async def _queue_of(pool: Any, queues: "list[str]", job_id: str) -> "str | None":
    scores = await _pipe(pool, [("ZSCORE", queue, job_id) for queue in queues])
    found = zip(queues, scores, strict=True)
    return next((queue for queue, score in found if score is not None), None)


async def _due(pool: Any, queue: str, until_ms: int, skipped: int) -> "list[bytes]":
    return await pool.zrangebyscore(queue, float("-inf"), until_ms, start=skipped, num=CHUNK)


async def _pipe(pool: Any, commands: "list[tuple[Any, ...]]") -> "list[Any]":
    if not commands:
        return []
    async with pool.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute()
