# SPDX-License-Identifier: Apache-2.0
"""What waits in RQ's queues, by a connection of our own. RQ keeps a list of ids for each queue and
sorted sets for what is scheduled, runs and has failed."""

import datetime
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.redis_reader import RedisReader, number


def refusal(engine: Any) -> str:
    """Why the queues of this connection cannot be counted; or nothing."""
    return redis_reader.refusal(getattr(engine.connection, "connection_pool", None))


def open_reader(engine: Any) -> "Reader":
    """Nothing is opened before the first question."""
    return Reader(redis_reader.open_client(engine.connection.connection_pool))


class Reader(RedisReader):
    """Failed jobs are those that RQ keeps in the registry, from where they can be requeued."""

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """Two round trips for all queues: the counts, then the jobs that are next."""
        counts = self.ask(
            [
                command
                for name in names
                for command in (
                    ("LLEN", f"rq:queue:{name}"),
                    ("ZCARD", f"rq:scheduled:{name}"),
                    ("ZCARD", f"rq:wip:{name}"),
                    ("ZCARD", f"rq:failed:{name}"),
                    ("SCARD", f"rq:workers:{name}"),
                    ("LINDEX", f"rq:queue:{name}", 0),
                )
            ]
        )
        rows = [counts[at : at + 6] for at in range(0, len(counts), 6)]
        next_ids = [row[5].decode("utf-8", "replace") for row in rows if isinstance(row[5], bytes)]
        enqueued = self.ask([("HGET", f"rq:job:{job}", "enqueued_at") for job in next_ids])
        since = dict(zip(next_ids, enqueued, strict=True))
        return [
            wire.QueueDepth(
                name,
                *(number(one) for one in row[:4]),
                oldest_us=instant_us(since.get(_text(row[5]))),
                consumers=number(row[4]),
            )
            for name, row in zip(names, rows, strict=True)
        ]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def instant_us(value: Any) -> int:
    """RQ writes UTC, as `2026-11-21T10:52:44.123456Z`."""
    try:
        moment = datetime.datetime.fromisoformat(_text(value).replace("Z", "+00:00"))
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp() * 1_000_000)
