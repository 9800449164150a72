# SPDX-License-Identifier: Apache-2.0
"""What waits in Dramatiq's queues on Redis, by a connection of our own.

A queue is a list of ids that no worker has taken and a hash with every message, taken ones
included. Delayed messages have a queue of their own (`.DQ`), dead ones a sorted set (`.XQ`).
"""

from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.dramatiq.run import stamp_of
from queuedeck_agent.engines.redis_reader import RedisReader, number


def refusal(engine: Any) -> str:
    """Why the queues of this broker cannot be counted; or nothing."""
    return redis_reader.refusal(getattr(vars(engine.broker).get("client"), "connection_pool", None))


def open_reader(engine: Any) -> "Reader":
    """Nothing is opened before the first question."""
    broker = engine.broker
    client = redis_reader.open_client(broker.client.connection_pool)
    return Reader(client, str(broker.namespace))


class Reader(RedisReader):
    """For one namespace."""

    def __init__(self, client: Any, namespace: str) -> None:
        super().__init__(client)
        self.namespace = namespace

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """Two round trips for all queues: the counts, then the messages that are next."""
        answers = self.ask([command for name in names for command in self._counts(name)])
        rows = [answers[at : at + 5] for at in range(0, len(answers), 5)]
        looked = [
            (name, row[4])
            for name, row in zip(names, rows, strict=True)
            if isinstance(row[4], bytes) and _is_plain() and self.may_look(name)
        ]
        heads = self.ask([("HGET", f"{self._key(name)}.msgs", one) for name, one in looked])
        since = {
            name: _since(self.looked(name, data))
            for (name, _), data in zip(looked, heads, strict=True)
        }
        return [
            wire.QueueDepth(
                name,
                number(waiting),
                number(delayed),
                max(0, number(known) - number(waiting)) if number(known) >= 0 else -1,
                number(dead),
                since.get(name, 0),
            )
            for name, (waiting, known, delayed, dead, _) in zip(names, rows, strict=True)
        ]

    def _key(self, name: str) -> str:
        return f"{self.namespace}:{name}"

    def _counts(self, name: str) -> "list[redis_reader.Command]":
        key = self._key(name)
        return [
            ("LLEN", key),
            ("HLEN", f"{key}.msgs"),
            ("HLEN", f"{key}.DQ.msgs"),
            ("ZCARD", f"{key}.XQ"),
            ("LINDEX", key, 0),
        ]


def _is_plain() -> bool:
    """Only the JSON of Dramatiq itself is decoded here: another encoder may run code."""
    from dramatiq import get_encoder
    from dramatiq.encoder import JSONEncoder

    return type(get_encoder()) is JSONEncoder


def _since(data: bytes) -> int:
    """Our stamp says when the message was sent, and when it became due if it was delayed.
    Dramatiq's own timestamp is that of the first sending, kept in retries."""
    from dramatiq.message import Message

    try:
        message = Message.decode(data)
        stamp = stamp_of(message.options)
        return int(stamp.get("d") or stamp.get("at") or message.message_timestamp * 1_000)
    except Exception:  # noqa: BLE001 - a message of somebody else
        return 0
