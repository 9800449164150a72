# SPDX-License-Identifier: Apache-2.0
"""Takes one waiting message out of a Redis broker, by the application's own connection."""

import json
from typing import Any

MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through; beyond it the task is only revoked."""
CHUNK = 500


def remove(app: Any, queues: list[str], task_id: str) -> int:
    """Removes exactly the message of this task: the attempt that it would have started, or 0 when
    it was not found, or the broker is another one.
    """
    with app.pool.acquire(block=True) as connection:
        if connection.transport.driver_type != "redis":
            return 0
        channel = connection.default_channel
        prefix: str = getattr(channel, "global_keyprefix", "") or ""
        # Not `channel.client`: an earlier `inspect` may have left it waiting for a BRPOP's answer.
        with channel.conn_or_acquire() as client:
            for queue in dict.fromkeys(queues):
                for priority in channel.priority_steps:
                    key = prefix + channel._q_for_pri(queue, priority)
                    if attempt := _remove_from(client, key, task_id):
                        return attempt
    return 0


def _remove_from(client: Any, key: str, task_id: str) -> int:
    needle = task_id.encode()
    for start in range(0, MAX_LOOKED_AT, CHUNK):
        messages: list[bytes] = client.lrange(key, start, start + CHUNK - 1)
        for message in messages:
            if needle not in message:
                continue
            found, attempt = _id_and_attempt(message)
            if found == task_id:
                return attempt if client.lrem(key, -1, message) else 0
        if len(messages) < CHUNK:
            return 0
    return 0


def _id_and_attempt(message: bytes) -> tuple[str, int]:
    """What the message's headers say; the body is not decoded."""
    try:
        envelope = json.loads(message)
    except ValueError:
        return "", 0
    headers = envelope.get("headers") or {}
    properties = envelope.get("properties") or {}
    task_id = headers.get("id") or properties.get("correlation_id") or ""
    return str(task_id), int(headers.get("retries") or 0) + 1
