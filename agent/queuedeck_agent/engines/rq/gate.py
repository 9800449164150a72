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
from queuedeck_agent.guard import contained, let_through

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
        self.is_passed = False
        """The worker has come by, so it is known to be held back here."""
        self.in_burst = False
        """The worker ends when its queues are empty."""
        self.names: set[str] = set()
        """Functions of the jobs that were taken, as the application's own processes named them."""
        self._paused = agent.paused
        self._source = source
        self._connection = connection
        _let_stops_through()

    def take(self, dequeue: Dequeue, queues: list[Any], timeout: "int | None") -> Any:
        """What RQ's `dequeue_any` gives and raises; of the queues that may be taken from."""
        self.is_passed = True
        self.in_burst = timeout is None
        until = time.monotonic() + (timeout or 0)
        if not (self.drained or self._paused.may_hold()) or not self._closes_one(queues):
            found = dequeue(queues, timeout)
            if not self._keeps_back(found):
                return found
        return self._take_from_open(dequeue, queues, timeout, until)

    def closes(self, queue: str) -> bool:
        """Whether nothing may be taken from this queue now."""
        return self.drained or (self._source, queue) in self._paused

    def _closes_one(self, queues: list[Any]) -> bool:
        return any(self.closes(one.name) for one in queues)

    def _take_from_open(
        self, dequeue: Dequeue, queues: list[Any], timeout: "int | None", until: float
    ) -> Any:
        """Until the time is up, or, in burst mode, nothing is left to be taken."""
        from rq.exceptions import DequeueTimeout

        while True:
            ready = [one for one in queues if not self.closes(one.name)]
            try:
                left = None if timeout is None else math.ceil(until - time.monotonic())
                found = self._dequeue(dequeue, ready, left, len(queues)) if ready else None
            except DequeueTimeout:
                pass
            else:
                if found is not None and not self._keeps_back(found):
                    return found
                if found is None and timeout is None:
                    return None
            if timeout is not None and time.monotonic() >= until:
                raise DequeueTimeout(timeout, [one.key for one in queues])
            if not ready:
                time.sleep(LOOK_AGAIN_S)

    def _dequeue(self, dequeue: Dequeue, ready: list[Any], left: "int | None", several: int) -> Any:
        """While something is closed it waits for a second at most: it may be opened."""
        if len(ready) == several:
            return dequeue(ready, None if left is None else max(1, left))
        if len(ready) == 1:
            # From a single queue RQ takes by way of an intermediate one, which a worker that has
            # several never clears: the job would be given up as stuck there, though it has ended.
            ready = ready * 2
        return dequeue(ready, None if left is None else 1)

    def _keeps_back(self, found: Any) -> bool:
        """Whether the job was put back, because its queue was closed meanwhile."""
        if found is None:
            return False
        job, queue = found
        if (
            (self.drained or self._paused.may_hold())
            and self.closes(queue.name)
            and self._gives_back(job, queue)
        ):
            return True
        stamp = rq_stamp.get(job)
        name = stamp.name if stamp is not None else ""
        if name and name not in self.names and len(self.names) < MOST_NAMES:
            self.names.add(name)
        return False

    def _gives_back(self, job: Any, queue: Any) -> bool:
        """A worker that waited at the queue when it was paused: its job goes back to the front, as
        if it had not been taken. If Redis cannot be asked the job runs, for it must not be lost."""
        try:
            return bool(self._tries_to_give_back(job, queue))
        except BaseException:  # RQ stops a worker by raising this in the handler of a signal
            contained(self._give_back)(job, queue, 1)
            raise

    @contained
    def _tries_to_give_back(self, job: Any, queue: Any) -> bool:
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
        return False

    def _give_back(self, job: Any, queue: Any, tried: int) -> None:
        keys = (queue.key, queue.intermediate_queue_key, job.key)
        self._connection.eval(scripts.GIVE_BACK, len(keys), *keys, job.id, int(tried > 0))


def _let_stops_through() -> None:
    """What RQ raises in the handler of a signal. In older versions it is in `rq.worker`."""
    from rq import exceptions, worker

    for module in (exceptions, worker):
        kind = vars(module).get("StopRequested")
        if kind is not None:
            let_through(kind)
