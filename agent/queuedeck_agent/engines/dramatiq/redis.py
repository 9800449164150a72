# SPDX-License-Identifier: Apache-2.0
"""Takes one waiting message out of a Redis broker, by the application's own connection."""

from typing import Any

from queuedeck_agent.engines.dramatiq.run import attempt_of

MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through; beyond it the task is only remembered."""
CHUNK = 500

_TAKE_OUT = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('hdel', KEYS[2], ARGV[1])
return 1
"""
"""One step, so that no worker can fetch the message in between."""


def remove(broker: Any, queues: list[str], task_id: str) -> int:
    """Removes exactly the message of this task: the attempt that it would have started, or 0 when
    it was not found waiting, or the broker is another one.
    """
    client = vars(broker).get("client")
    if client is None:
        return 0
    for queue in dict.fromkeys(queues):
        for name in (queue, f"{queue}.DQ"):
            waiting = f"{broker.namespace}:{name}"
            found = _find(client, f"{waiting}.msgs", task_id)
            if found is None:
                continue
            redis_id, attempt = found
            if client.eval(_TAKE_OUT, 2, waiting, f"{waiting}.msgs", redis_id):
                return attempt
    return 0


def _find(client: Any, key: str, task_id: str) -> tuple[Any, int] | None:
    """(Redis's own id of the message, attempt)."""
    from dramatiq.message import Message

    needle = task_id.encode()
    looked_at = 0
    cursor = 0
    while looked_at < MAX_LOOKED_AT:
        cursor, chunk = client.hscan(key, cursor, count=CHUNK)
        looked_at += len(chunk)
        for redis_id, data in chunk.items():
            raw = data if isinstance(data, bytes) else str(data).encode()
            if needle not in raw:
                continue
            message = Message.decode(raw)
            if message.message_id == task_id:
                return redis_id, attempt_of(message.options)
        if not cursor:
            break
    return None
