# SPDX-License-Identifier: Apache-2.0
"""What waits in arq's queues, by a connection of our own. A queue is one sorted set of job ids by
the moment when they are due; a job stays in it until it has ended."""

import time
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.redis_reader import RedisReader, number

LOOKED_AT = 200
"""So many of the first due jobs are looked at for whether they run. Workers take the first, so
the running ones are among them, unless more than that run at once: those count as waiting."""


def refusal(engine: Any) -> str:
    """Why the queues of this Redis cannot be counted; or nothing."""
    pool = _pool_of(engine)
    if pool is None:
        return "This process has no connection of arq now."
    return redis_reader.refusal(getattr(pool, "connection_pool", None))


def open_reader(engine: Any) -> "Reader":
    """Nothing is opened before the first question. The application's event loop takes no part."""
    return Reader(redis_reader.open_client(_pool_of(engine).connection_pool))


class Reader(RedisReader):
    """For one Redis."""

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """Two round trips for all queues: what is due, then which of the first ones run."""
        from arq import constants

        now_ms = time.time_ns() // 1_000_000
        answers = self.ask(
            [
                command
                for name in names
                for command in (
                    ("ZCARD", name),
                    ("ZCOUNT", name, "-inf", now_ms),
                    ("ZRANGEBYSCORE", name, "-inf", now_ms, "WITHSCORES", "LIMIT", 0, LOOKED_AT),
                )
            ]
        )
        rows = [answers[at : at + 3] for at in range(0, len(answers), 3)]
        first = [_pairs(row[2]) for row in rows]
        prefix = constants.in_progress_key_prefix.encode()
        running = iter(self.ask([("EXISTS", prefix + job) for due in first for job, _ in due]))
        found: list[wire.QueueDepth] = []
        for name, (known, ready, _), due in zip(names, rows, first, strict=True):
            waits = [score for _, score in due if not next(running)]
            runs = len(due) - len(waits)
            found.append(
                wire.QueueDepth(
                    name,
                    max(-1, number(ready) - runs),
                    number(known) - number(ready) if number(ready) >= 0 else -1,
                    runs,
                    oldest_us=int(waits[0] * 1_000) if waits else 0,
                )
            )
        return found


def _pairs(answer: Any) -> "list[tuple[bytes, float]]":
    """Old and new protocol of Redis: `[job, score, job, score]`, or pairs already."""
    known: list[Any] = answer if isinstance(answer, list) else []
    if known and not isinstance(known[0], list):
        known = list(zip(known[::2], known[1::2], strict=True))
    return [(job, float(score)) for job, score in known]


def _pool_of(engine: Any) -> Any:
    """A worker's, else the one that this process sent its last job by."""
    for worker in list(engine.workers):
        if worker._pool is not None:
            return worker._pool
    return engine.connection.pool() if engine.connection is not None else None
