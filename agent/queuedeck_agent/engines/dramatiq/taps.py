# SPDX-License-Identifier: Apache-2.0
"""Dramatiq's consumer of one queue, on Redis or RabbitMQ, with a tap that can be shut.

Shut, it takes nothing, stays connected, and still acknowledges what runs. What the worker had
fetched and not started goes back to the queue. All of it happens in the consumer's own thread.
"""

import heapq
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from queuedeck_agent.guard import note


class GateLike(Protocol):
    """What a tap asks."""

    worker: Any

    def should_be_shut(self, queue: str) -> bool: ...


class Tap:
    """Stands where the consumer stood; what it does not say itself, the consumer does."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The attributes of a consumer that we know how to shut."""

    def __init__(self, gate: GateLike, queue: str, inner: Any) -> None:
        self.gate = gate
        self.queue = queue
        self.inner = inner
        self.is_shut = False
        self.put_back = 0
        """Messages that went back to the queue when it was shut last."""

    @classmethod
    def fits(cls, consumer: Any) -> bool:
        """Whether it is a consumer of the kind that Dramatiq has for this broker."""
        return all(hasattr(consumer, name) for name in cls.needs)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.may_shut() and self.gate.should_be_shut(self.queue):
            self._keep_shut()
            return None
        if self.is_shut:
            self._open()
        return next(self.inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def may_shut(self) -> bool:
        """Not in the middle of what one answer of the broker has brought."""
        return True

    def shut(self, waiting: "list[Any]") -> None:
        """Gives these messages back, which wait inside the worker, and takes no more."""
        raise NotImplementedError

    def idle(self) -> None:
        """One turn while it is shut, as long as a turn without messages takes."""
        raise NotImplementedError

    def open(self) -> None:
        """Takes again, so many messages at once as the worker wants now."""
        raise NotImplementedError

    def trouble(self) -> "tuple[type[Exception], ...]":
        """What the consumer takes for a lost connection."""
        raise NotImplementedError

    @property
    def turn_s(self) -> float:
        return float(getattr(self.gate.worker, "worker_timeout", 1000)) / 1000

    @property
    def wanted(self) -> int:
        """How many messages the worker takes in advance."""
        worker = self.gate.worker
        delayed = self.queue.endswith(".DQ")
        return int(worker.delay_prefetch if delayed else worker.queue_prefetch)

    def _keep_shut(self) -> None:
        from dramatiq.errors import ConnectionClosed

        try:
            if not self.is_shut:
                self._shut()
            self.idle()
        except self.trouble() as error:
            raise ConnectionClosed(error) from None
        except Exception as error:  # noqa: BLE001 - the host's thread must live on
            note("queuedeck_agent.engines.dramatiq.taps", error)
            time.sleep(self.turn_s)

    def _shut(self) -> None:
        line = self.gate.worker.work_queue
        items = taken_back(line, self.queue)
        try:
            self.shut([message_of(item) for item in items])
        except Exception:
            for item in items:
                line.put(item)  # they run, as they would have
            raise
        self.put_back = len(items)
        self.is_shut = True

    def _open(self) -> None:
        from dramatiq.errors import ConnectionClosed

        try:
            self.open()
        except self.trouble() as error:
            raise ConnectionClosed(error) from None
        self.is_shut = False


class RedisTap(Tap):
    """Fetched messages are in a set of the broker's until they are acknowledged."""

    needs = ("broker", "message_cache", "queued_message_ids", "requeue", "prefetch")

    def may_shut(self) -> bool:
        return self.is_shut or not self.inner.message_cache

    def shut(self, waiting: "list[Any]") -> None:
        self.inner.requeue(waiting)
        self.inner.queued_message_ids.difference_update(one.message_id for one in waiting)

    def idle(self) -> None:
        """To fetch nothing is the broker's heartbeat."""
        self.inner.broker.do_fetch(self.inner.queue_name, 0)
        time.sleep(self.turn_s)

    def open(self) -> None:
        self.inner.prefetch = self.wanted

    def trouble(self) -> "tuple[type[Exception], ...]":
        import redis

        return (redis.ConnectionError,)


class RabbitTap(Tap):
    """Fetched messages belong to the channel until they are acknowledged."""

    needs = ("channel", "connection", "iterator", "known_tags")

    def shut(self, waiting: "list[Any]") -> None:
        self.inner.channel.cancel()
        for message in waiting:
            self.inner.known_tags.discard(message._tag)
            self.inner.channel.basic_nack(message._tag, requeue=True)

    def idle(self) -> None:
        """Heartbeats, and acknowledgements of what still runs."""
        self.inner.connection.process_data_events(time_limit=self.turn_s)

    def open(self) -> None:
        self.inner.channel.basic_qos(prefetch_count=self.wanted)
        name = self.inner.queue_name
        self.inner.iterator = self.inner.channel.consume(name, inactivity_timeout=self.turn_s)

    def trouble(self) -> "tuple[type[Exception], ...]":
        from pika import exceptions

        return (exceptions.AMQPConnectionError, exceptions.AMQPChannelError)


def taken_back(line: Any, queue: str) -> "list[Any]":
    """Takes what came from a queue out of the worker's own line, before a thread gets it."""
    with line.mutex:
        own = [item for item in line.queue if message_of(item).queue_name == queue]
        if own:
            line.queue[:] = [one for one in line.queue if message_of(one).queue_name != queue]
            heapq.heapify(line.queue)
            line.unfinished_tasks -= len(own)
            if not line.unfinished_tasks:
                line.all_tasks_done.notify_all()
    return sorted(own)


def message_of(item: Any) -> Any:
    """Dramatiq 1 has (priority, message) there."""
    return item[-1] if isinstance(item, tuple) else item.message
