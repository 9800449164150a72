# SPDX-License-Identifier: Apache-2.0
"""Counts on Redis by a connection of our own, made from the settings of the application's.

The application's pool is left alone: its limit is for its tasks. Nothing here consumes, scans or
decodes; each engine's `queues.py` says which keys, and what the answers mean.
"""

from typing import Any

from queuedeck_agent import wire

ANSWER_S = 2.0
"""So long Redis has for a connection, and for each answer."""
LARGE_BYTES = 64 * 1024
"""A next message beyond this size is read again only after so many rounds:"""
LARGE_ROUNDS = 12
_KEPT = ("host", "port", "db", "username", "password", "path", "credential_provider", "protocol")

Command = tuple[Any, ...]


def refusal(pool: Any) -> str:
    """Why the queues behind this pool cannot be counted; or nothing."""
    if not isinstance(getattr(pool, "connection_kwargs", None), dict):
        return "Queues are counted on a single Redis only; this is another kind of broker."
    if getattr(pool, "service_name", ""):
        return "Queues behind Redis Sentinel are not counted yet."
    return ""


def open_client(pool: Any) -> Any:
    """A client of redis-py with one connection, whether the pool is for threads or for asyncio."""
    import redis

    options: dict[str, Any] = pool.connection_kwargs
    kept = {name: options[name] for name in _KEPT if options.get(name) is not None}
    kept |= {name: one for name, one in options.items() if name.startswith("ssl_")}
    kinds: dict[str, Any] = {
        "SSL": redis.SSLConnection,
        "Uni": redis.UnixDomainSocketConnection,
    }
    name = getattr(pool.connection_class, "__name__", "")
    own = redis.ConnectionPool(
        connection_class=kinds.get(name[:3], redis.Connection),
        max_connections=1,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        **kept,
    )
    return redis.Redis(connection_pool=own)


def number(answer: Any) -> int:
    """A count; -1 for an error, as of a key of another type."""
    return answer if isinstance(answer, int) else -1


class RedisReader:
    """One connection. An adapter's reader derives from it and says what `read` asks."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._large: dict[str, int] = {}
        """Queue -> rounds for which its next message is not asked for."""

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """What Redis has now. Raises whatever a network can do."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the connection."""
        self.client.connection_pool.disconnect()

    def ask(self, commands: "list[Command]") -> "list[Any]":
        """All answers, in one round trip; an error of Redis stands in its place."""
        if not commands:
            return []
        with self.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute(raise_on_error=False))

    def may_look(self, name: str) -> bool:
        """Whether the next message may be asked for: not while it is known to be large."""
        left = self._large.get(name, 0)
        if left > 1:
            self._large[name] = left - 1
            return False
        self._large.pop(name, None)
        return True

    def looked(self, name: str, message: Any) -> bytes:
        """The next message, if there was one; remembers a large one."""
        if not isinstance(message, bytes):
            return b""
        if len(message) > LARGE_BYTES:
            self._large[name] = LARGE_ROUNDS
        return message
