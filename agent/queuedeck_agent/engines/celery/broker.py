# SPDX-License-Identifier: Apache-2.0
"""Whether a queue is there and how long it is, by the broker's own word."""

from typing import Any

from queuedeck_agent.engines.celery.queues import kind_of, own_connection
from queuedeck_agent.engines.celery.redis import lists_of
from queuedeck_agent.errors import CommandRefused

NAMED_AT_MOST = 5


def check_queue(app: Any, queue: str) -> None:
    """Raises `CommandRefused` for a queue that nobody has declared: Celery would make one of any
    name, where no worker ever looks."""
    if queue in app.amqp.queues or _is_declared(app, queue):
        return
    known = ", ".join(sorted(app.amqp.queues)[:NAMED_AT_MOST])
    raise CommandRefused(
        "invalid", f"Nobody has declared a queue `{queue}`. This application knows {known}."
    )


def length(app: Any, queue: str) -> int:
    """Messages that wait there; -1 when the broker has no such queue."""
    with own_connection(app) as connection:
        try:
            return int(connection.channel().queue_declare(queue=queue, passive=True).message_count)
        except connection.channel_errors:
            return -1


def purge(app: Any, queue: str) -> int:
    """Empties it, where the broker does that itself: how many messages it had; -1 as above."""
    with own_connection(app) as connection:
        try:
            return int(connection.channel().queue_purge(queue) or 0)
        except connection.channel_errors:
            return -1


def _is_declared(app: Any, queue: str) -> bool:
    if kind_of(app) != "redis":
        return length(app, queue) >= 0
    with lists_of(app) as lists:  # an empty list is no key in Redis, so kombu would say no
        return lists is not None and lists.exists(queue)
