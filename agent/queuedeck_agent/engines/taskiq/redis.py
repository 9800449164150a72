# SPDX-License-Identifier: Apache-2.0
"""What is done in lists and streams on Redis, by the application's own connections.

A list is taken from at its right end. A stream keeps what was taken; its group of consumers
remembers the last entry that it gave out, and what is after that waits.
"""

from typing import Any

CHUNK = 100
"""Messages that are removed in one step; they may be large."""
LOOKED_AT_ONCE = 500

_MOVE = """
redis.call('LPUSH', KEYS[2], ARGV[1])
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 1 then return 1 end
redis.call('LPOP', KEYS[2])
return 0
"""
_TAKE_FROM_STREAM = """
local function known(flat)
  local found = {}
  for at = 1, #flat, 2 do found[flat[at]] = flat[at + 1] end
  return found
end
local groups, group = redis.call('XINFO', 'GROUPS', KEYS[1]), nil
for _, one in ipairs(groups) do
  if known(one)['name'] == ARGV[1] then group = known(one) end
end
if not group then return {} end
local entries = redis.call(
  'XRANGE', KEYS[1], '(' .. group['last-delivered-id'], ARGV[2], 'COUNT', ARGV[3])
if #entries == 0 then return entries end
local last = entries[#entries][1]
if group['lag'] then
  local added = known(redis.call('XINFO', 'STREAM', KEYS[1]))['entries-added']
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], last,
    'ENTRIESREAD', added - group['lag'] + #entries)
else
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], last)
end
if #groups == 1 then
  for at = 1, #entries - 1 do redis.call('XDEL', KEYS[1], entries[at][1]) end
  if ARGV[4] ~= '' then redis.call('XDEL', KEYS[1], ARGV[4]) end
end
return entries
"""
"""The last entry stays where it is: Redis cannot count what follows a place that is not there."""


def client_of(broker: Any) -> Any:
    """Of the broker's own pool; use it with `async with`."""
    from redis.asyncio import Redis

    return Redis(connection_pool=broker.connection_pool)


async def find_in_list(broker: Any, queue: str, task_id: str, most: int) -> "tuple[Any, Any]":
    """(the bytes, the message) of a waiting task, or nothing twice."""
    needle = task_id.encode()
    async with client_of(broker) as client:
        for start in range(0, most, LOOKED_AT_ONCE):
            chunk: list[bytes] = await client.lrange(queue, start, start + LOOKED_AT_ONCE - 1)
            for data in chunk:
                if needle not in data:
                    continue
                message = broker.formatter.loads(message=data)
                if message.task_id == task_id:
                    return data, message
            if len(chunk) < LOOKED_AT_ONCE:
                break
    return None, None


async def remove_from_list(broker: Any, queue: str, data: bytes) -> bool:
    """False when a worker was faster."""
    async with client_of(broker) as client:
        return bool(await client.lrem(queue, 1, data))


async def move_in_lists(broker: Any, queue: str, target: str, data: bytes) -> bool:
    """To the end of the other list, in one step; False when a worker was faster."""
    async with client_of(broker) as client:
        return bool(await client.eval(_MOVE, 2, queue, target, data))


async def take_from_list(broker: Any, queue: str, amount: int) -> "list[bytes]":
    """Reads and removes the first, in one transaction; the oldest first."""
    async with (
        client_of(broker) as client,
        client.pipeline(transaction=True) as pipe,
    ):
        pipe.lrange(queue, -amount, -1)
        pipe.ltrim(queue, 0, -amount - 1)
        removed, _ = await pipe.execute()
    return list(reversed(removed))


async def end_of_stream(broker: Any, queue: str) -> bytes:
    """The id of its last entry; nothing where there is no such stream."""
    async with client_of(broker) as client:
        if not await client.exists(queue):
            return b""
        return (await client.xinfo_stream(queue))["last-generated-id"]


async def take_from_stream(
    broker: Any, queue: str, until: bytes, before: bytes
) -> "tuple[list[bytes], bytes]":
    """The same of what the group has not given out, up to an entry; and the group's new place.
    `before`: its place after the step before this one, of which nothing is kept."""
    group = str(broker.consumer_group_name)
    async with client_of(broker) as client:
        entries = await client.eval(_TAKE_FROM_STREAM, 1, queue, group, until, CHUNK, before)
    return [_data_in(fields) for _, fields in entries], entries[-1][0] if entries else b""


async def first_of_list(broker: Any, queue: str, amount: int) -> "list[bytes]":
    """The oldest first."""
    async with client_of(broker) as client:
        found: list[bytes] = await client.lrange(queue, -amount, -1)
    return found[::-1]


async def first_of_stream(broker: Any, queue: str, amount: int) -> "list[bytes]":
    """The same of what the group has not given out."""
    async with client_of(broker) as client:
        return await _after(client, queue, str(broker.consumer_group_name), amount)


async def length_of_list(broker: Any, queue: str) -> int:
    """As Redis has it now."""
    async with client_of(broker) as client:
        return int(await client.llen(queue))


async def _after(client: Any, queue: str, group: str, amount: int) -> "list[bytes]":
    if not await client.exists(queue):
        return []
    for one in await client.xinfo_groups(queue):
        name = one["name"]
        if (name.decode() if isinstance(name, bytes) else name) == group:
            entries = await client.xrange(
                queue, min=b"(" + one["last-delivered-id"], max="+", count=amount
            )
            return [fields.get(b"data", b"") for _, fields in entries]
    return []


def _data_in(fields: "list[bytes]") -> bytes:
    return dict(zip(fields[::2], fields[1::2], strict=True)).get(b"data", b"")
