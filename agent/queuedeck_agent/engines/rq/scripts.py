# SPDX-License-Identifier: Apache-2.0
"""What must happen in Redis at once or not at all. A job is a hash, a queue a list of ids, and
what is due later or has ended stands in sorted sets."""

from typing import Any

JOB = "rq:job:"
QUEUE = "rq:queue:"
QUEUES = "rq:queues"

GIVE_BACK = """
if ARGV[2] == '1' then redis.call('lrem', KEYS[1], 1, ARGV[1]) end
redis.call('lrem', KEYS[2], 1, ARGV[1])
redis.call('del', KEYS[2] .. ':first_seen:' .. ARGV[1])
local status = redis.call('hget', KEYS[3], 'status')
if not status or status == 'canceled' then return 0 end
redis.call('lpush', KEYS[1], ARGV[1])
return 1
"""
"""KEYS: the queue, its intermediate queue, the job. ARGV: its id, and 1 if this was tried before.
Meanwhile somebody may have cancelled or deleted the job: such a one must not come back. RQ notes
when it first saw a job in the intermediate queue, to give it up as stuck there later."""

PUSH_AGAIN = """
if redis.call('hget', KEYS[1], 'status') ~= 'queued' then return 0 end
if redis.call('lrem', KEYS[2], 1, ARGV[1]) == 0 then return 0 end
return redis.call(ARGV[2], KEYS[2], ARGV[1])
"""
"""KEYS: the job, its queue. ARGV: its id, `lpush` for the front or `rpush` for the end."""

MOVE = """
if redis.call('hget', KEYS[1], 'status') ~= ARGV[3] then return 0 end
if ARGV[3] == 'queued' then
    if redis.call('lrem', KEYS[2], 1, ARGV[1]) == 0 then return 0 end
    redis.call('rpush', KEYS[3], ARGV[1])
else
    local score = redis.call('zscore', KEYS[2], ARGV[1])
    if not score then return 0 end
    redis.call('zrem', KEYS[2], ARGV[1])
    redis.call('zadd', KEYS[3], score, ARGV[1])
end
redis.call('hset', KEYS[1], 'origin', ARGV[2])
redis.call('sadd', KEYS[4], KEYS[5])
return 1
"""
"""KEYS: the job, where it waits, where it shall wait, RQ's set of queues, the new queue. ARGV: its
id, the name of the new queue, and its status as it was seen."""

PURGE = """
local rows = {}
for _ = 1, tonumber(ARGV[1]) do
    local id = redis.call('lpop', KEYS[1])
    if not id then break end
    local key = ARGV[2] .. id
    local job = redis.call(
        'hmget', key, 'status', 'queuedeck', 'number_of_retries', 'description')
    local status, kept = job[1] or '', 0
    if status == 'queued' then
        if redis.call('exists', key .. ':dependents') == 1 then
            kept = 1
            redis.call('hset', key, 'status', 'canceled')
            redis.call('zadd', KEYS[2], '+inf', id)
        else
            redis.call('del', key, key .. ':dependencies')
        end
    end
    rows[#rows + 1] = {
        id, status, job[2] or '', job[3] or '', string.sub(job[4] or '', 1, 300), kept}
end
return rows
"""
"""KEYS: the queue, its registry of cancelled jobs. ARGV: how many at most, the prefix of jobs.

An id can be in a queue twice: a job that is not `queued` runs or has ended, and stays as it is.
Where others depend on a job it is kept, as cancelled: RQ takes a missing one for finished."""


def text(value: Any) -> str:
    """What Redis gave, as text; empty for nothing."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
