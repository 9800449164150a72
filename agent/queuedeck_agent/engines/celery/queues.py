# SPDX-License-Identifier: Apache-2.0
"""What waits in Celery's queues, by a connection of our own to the application's broker.

On Redis a queue is a list for each step of priority; what workers have taken, delayed tasks among
it, is in one hash for all queues and so is not told. On RabbitMQ the broker counts.
"""

import contextlib
import json
from collections.abc import Generator
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines.celery.publish import STAMP
from queuedeck_agent.engines.redis_reader import ANSWER_S, RedisReader, number

_TIMEOUTS: "dict[str, dict[str, float]]" = {
    "redis": {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S},
    "amqp": {"read_timeout": ANSWER_S, "write_timeout": ANSWER_S},
}


def refusal(engine: Any) -> str:
    """Why the queues of this application cannot be counted; or nothing."""
    kind = kind_of(engine.app)
    if kind in _TIMEOUTS:
        return ""
    return f"Queues are counted on Redis and RabbitMQ; this broker is {kind or 'another one'}."


def open_reader(engine: Any) -> "OnRedis | OnRabbit":
    """Connects. Raises whatever a network can do."""
    own = connected(engine.app)
    return OnRedis(own) if kind_of(engine.app) == "redis" else OnRabbit(own)


def connected(app: Any) -> Any:
    """A connection of our own to the application's broker, which never waits for long: the
    application's pool is left to its tasks. Raises whatever a network can do."""
    connection = app.connection_for_read()
    options = {**(connection.transport_options or {}), **_TIMEOUTS.get(kind_of(app), {})}
    own = connection.clone(transport_options=options, connect_timeout=ANSWER_S)
    own.connect()
    return own


@contextlib.contextmanager
def own_connection(app: Any) -> "Generator[Any]":
    """The same, closed again. Remote control goes over one too: on RabbitMQ each child that the
    worker forks shuts down the connections of the application's pool, those of its parent too."""
    connection = connected(app)
    try:
        yield connection
    finally:
        connection.release()


def kind_of(app: Any) -> str:
    """`redis`, `amqp`, or what kombu calls another kind of broker. Opens no connection."""
    return str(getattr(app.connection_for_read().get_transport_cls(), "driver_type", "") or "")


class OnRedis(RedisReader):
    """Kombu names the keys: prefix, separator and steps are settings of the application."""

    def __init__(self, connection: Any) -> None:
        import redis

        self.connection = connection
        self.channel = connection.channel()
        # Not the channel's own client, which adds the prefix to some commands and not to others.
        super().__init__(redis.Redis(connection_pool=self.channel.pool))

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """The lists of a queue are one queue."""
        prefix: str = getattr(self.channel, "global_keyprefix", "") or ""
        steps = list(self.channel.priority_steps)
        keys = {
            name: [prefix + self.channel._q_for_pri(name, step) for step in steps] for name in names
        }
        lists = [key for name in names for key in keys[name]]
        sizes = dict(zip(lists, self.ask([("LLEN", key) for key in lists]), strict=True))
        heads = [key for key in lists if number(sizes[key]) > 0 and self.may_look(key)]
        found = dict(zip(heads, self.ask([("LINDEX", key, -1) for key in heads]), strict=True))
        stamps = {key: _stamp(self.looked(key, data)) for key, data in found.items()}
        return [
            wire.QueueDepth(
                name,
                sum(max(0, number(sizes[key])) for key in keys[name]),
                oldest_us=min((stamps[key] for key in keys[name] if stamps.get(key)), default=0),
            )
            for name in names
        ]

    def close(self) -> None:
        """Closes the channel with it."""
        self.connection.release()


class OnRabbit:
    """A passive declaration answers with the counts and changes nothing."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """A queue that nobody declared is left out: asking for it ends the channel."""
        found: list[wire.QueueDepth] = []
        for name in names:
            channel = self.connection.channel()
            try:
                told = channel.queue_declare(queue=name, passive=True)
            except self.connection.channel_errors:
                continue
            channel.close()
            found.append(
                wire.QueueDepth(name, int(told.message_count), consumers=int(told.consumer_count))
            )
        return found

    def close(self) -> None:
        """Closes the connection."""
        self.connection.release()


def _stamp(message: bytes) -> int:
    """When our hook published it; the body stays as it is. 0 if the publisher had no agent."""
    try:
        return int(json.loads(message)["headers"][STAMP]["at"])
    except (ValueError, TypeError, KeyError):
        return 0
