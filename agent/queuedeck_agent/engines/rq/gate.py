# SPDX-License-Identifier: Apache-2.0
"""The gate around a worker's dequeueing: paused queues are left out, and a drained worker takes
nothing. RQ's own suspension holds every worker of a Redis database, so it is never used."""

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from queuedeck_agent.engines.rq import scripts
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.guard import contained

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent

log = logging.getLogger("queuedeck_agent")

Dequeue = Callable[[list[Any], "int | None"], Any]
"""RQ's own: queues in their order, seconds to wait (None: not at all) -> (job, queue) or None."""
LOOK_AGAIN_S = 0.25
MOST_NAMES = 4096
TRIES = 3
REST_S = 0.2


class Gate:
    """One per worker, on the thread that works. Commands change it from theirs."""

    def __init__(self, agent: "Agent", source: str, connection: Any) -> None:
        self.drained = False
        self.in_burst = False
        """The worker ends when its queues are empty."""
        self.names: set[str] = set()
        """Functions of the jobs that were taken, as the application's own processes named them."""
        self._paused = agent.paused
        self._source = source
        self._connection = connection

    def take(self, dequeue: Dequeue, queues: list[Any], timeout: "int | None") -> Any:
        """What RQ's `dequeue_any` gives and raises; of the queues that may be taken from."""
        from rq.exceptions import DequeueTimeout

        self.in_burst = timeout is None
        until = time.monotonic() + (timeout or 0)
        left = timeout
        while True:
            found = None
            ready = [one for one in queues if not self.closes(one.name)]
            whole = len(ready) == len(queues)
            try:
                if ready:
                    found = self._dequeue(dequeue, ready, left, whole)
            except DequeueTimeout:
                if whole:
                    raise
            if found is not None and (
                not self.closes(found[1].name) or not self._gives_back(*found)
            ):
                self._note(found[0])
                return found
            if timeout is None and found is None:
                return None
            left = None if timeout is None else math.ceil(until - time.monotonic())
            if left is not None and left <= 0:
                raise DequeueTimeout(timeout, [one.key for one in queues])
            if not ready:
                time.sleep(LOOK_AGAIN_S)

    def closes(self, queue: str) -> bool:
        """Whether nothing may be taken from this queue now."""
        return self.drained or (self._source, queue) in self._paused

    def _dequeue(self, dequeue: Dequeue, ready: list[Any], left: "int | None", whole: bool) -> Any:
        """While something is closed it waits for a second at most: it may be opened."""
        if whole:
            return dequeue(ready, left)
        if len(ready) == 1:
            # From a single queue RQ takes by way of an intermediate one, which a worker that has
            # several never clears: the job would be given up as stuck there, though it has ended.
            ready = ready * 2
        return dequeue(ready, None if left is None else 1)

    def _gives_back(self, job: Any, queue: Any) -> bool:
        """A worker that waited at the queue when it was paused: its job goes back to the front, as
        if it had not been taken. If Redis cannot be asked the job runs, for it must not be lost."""
        from redis.exceptions import ConnectionError as NoConnection
        from redis.exceptions import RedisError, TimeoutError

        for tried in range(TRIES):
            try:
                self._give_back(job, queue, tried)
                log.info("Job %s was taken from the paused queue %s: put back.", job.id, queue.name)
                return True
            except (NoConnection, TimeoutError):
                time.sleep(REST_S)
            except RedisError as error:
                log.warning("Job %s could not be put back, so it runs: %s", job.id, error)
                return False
            except BaseException:  # a signal: RQ stops the worker from within its handler
                self._give_back(job, queue, 1)
                raise
        return False

    def _give_back(self, job: Any, queue: Any, tried: int) -> None:
        keys = (queue.key, queue.intermediate_queue_key, job.key)
        self._connection.eval(scripts.GIVE_BACK, len(keys), *keys, job.id, int(tried > 0))

    @contained
    def _note(self, job: Any) -> None:
        stamp = rq_stamp.get(job)
        if stamp is not None and stamp.name and len(self.names) < MOST_NAMES:
            self.names.add(stamp.name)
