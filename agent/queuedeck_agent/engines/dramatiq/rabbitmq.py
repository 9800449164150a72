# SPDX-License-Identifier: Apache-2.0
"""Counts and empties queues of a RabbitMQ broker, by a connection of the application's settings.

Connections of Dramatiq belong to a thread: whoever works here closes that of its thread.
"""

from typing import Any

MOST_READ = 10_000
"""Messages that are taken one by one, and so can be named; the rest is purged as a whole."""


class NoSuchQueue(Exception):
    """RabbitMQ has no queue of that name."""


def counts(broker: Any, queue: str) -> tuple[int, int, int]:
    """(waiting, delayed, dead); 0 for a queue that is not there."""
    try:
        waiting, delayed, dead = (
            _count(broker, name) for name in (queue, f"{queue}.DQ", f"{queue}.XQ")
        )
        return waiting, delayed, dead
    finally:
        close_connection(broker)


def purge(broker: Any, queue: str) -> "tuple[int, list[Any]]":
    """Takes what waits now and throws it away: (how many, the messages that could be read)."""
    from dramatiq.message import Message
    from pika.exceptions import ChannelClosedByBroker

    found: list[Any] = []
    try:
        channel = broker.channel
        left = int(channel.queue_declare(queue, passive=True).method.message_count)
        purged = 0
        while purged < min(left, MOST_READ):
            method, _, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return purged, found
            purged += 1
            try:
                found.append(Message.decode(body))
            except Exception:  # noqa: BLE001,S112 - a message of somebody else
                continue
        if left > purged:
            purged += int(channel.queue_purge(queue).method.message_count)
        return purged, found
    except ChannelClosedByBroker:
        raise NoSuchQueue(queue) from None
    finally:
        close_connection(broker)


def close_connection(broker: Any) -> None:
    """That of this thread. Nothing on a broker of another kind."""
    if "confirm_delivery" in vars(broker):
        del broker.connection


def _count(broker: Any, queue: str) -> int:
    from pika.exceptions import ChannelClosedByBroker

    try:
        return int(broker.channel.queue_declare(queue, passive=True).method.message_count)
    except ChannelClosedByBroker:
        del broker.channel
        return 0
