# SPDX-License-Identifier: Apache-2.0
"""What waits in taskiq's queues on Redis, by a connection of our own. `ListQueueBroker` has a list,
`RedisStreamBroker` a stream with a group of consumers; a channel of `PubSubBroker` keeps nothing.
"""

from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines import redis_reader
from queuedeck_agent.engines.redis_reader import RedisReader, number
from queuedeck_agent.engines.taskiq.run import stamp_of

_PLAIN = frozenset({"JSONSerializer", "ORJSONSerializer", "MSGPackSerializer", "CBORSerializer"})
"""taskiq's own serializers that only read data; its pickle one would run code."""


def refusal(engine: Any) -> str:
    """Why the queues of these brokers cannot be counted; or nothing."""
    brokers = engine.brokers
    known = [one for one in brokers if _has_list(one) or _has_stream(one)]
    if not known:
        kind = type(brokers[0]).__name__ if brokers else "broker that nobody uses now"
        return f"taskiq's queues are counted on Redis; this broker is a {kind}."
    return redis_reader.refusal(vars(known[0]).get("connection_pool"))


def open_reader(engine: Any) -> "Reader":
    """Nothing is opened before the first question. The application's event loop takes no part."""
    known = [one for one in engine.brokers if _has_list(one) or _has_stream(one)]
    return Reader(redis_reader.open_client(known[0].connection_pool), known)


class Reader(RedisReader):
    """Lists and streams of one Redis; what no broker names is a list where there are any."""

    def __init__(self, client: Any, brokers: "list[Any]") -> None:
        super().__init__(client)
        streams = [one for one in brokers if _has_stream(one)]
        lists = [one for one in brokers if _has_list(one)]
        self.groups = {
            str(name): str(one.consumer_group_name)
            for one in streams[::-1]
            for name in (one.queue_name, *(getattr(one, "additional_streams", None) or ()))
        }
        self.on_list = OnList(client, lists[0]) if lists else None
        self.group = str(streams[0].consumer_group_name) if streams else ""

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """Two round trips for each kind."""
        named = dict.fromkeys(names) if self.on_list is None else self.groups
        by_group: dict[str, list[str]] = {}
        for name in names:
            if name in named:
                by_group.setdefault(self.groups.get(name, self.group), []).append(name)
        found = [
            depth
            for group, streams in by_group.items()
            for depth in OnStream(self.client, group).read(tuple(streams))
        ]
        if self.on_list is not None:
            found += self.on_list.read(tuple(one for one in names if one not in self.groups))
        return found


class OnList(RedisReader):
    """Messages leave at the right end."""

    def __init__(self, client: Any, broker: Any) -> None:
        super().__init__(client)
        self.broker = broker

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """Two round trips for all queues."""
        sizes = self.ask([("LLEN", name) for name in names])
        plain = type(getattr(self.broker, "serializer", None)).__name__ in _PLAIN
        looked = [
            name
            for name, size in zip(names, sizes, strict=True)
            if plain and number(size) > 0 and self.may_look(name)
        ]
        heads = dict(zip(looked, self.ask([("LINDEX", name, -1) for name in looked]), strict=True))
        return [
            wire.QueueDepth(
                name, number(size), oldest_us=self._since(self.looked(name, heads.get(name)))
            )
            for name, size in zip(names, sizes, strict=True)
        ]

    def _since(self, message: bytes) -> int:
        """Our label; 0 if the sender had no agent."""
        if not message:
            return 0
        try:
            return stamp_of(self.broker.formatter.loads(message=message).labels).at
        except Exception:  # noqa: BLE001 - a message of somebody else
            return 0


class OnStream(RedisReader):
    """Redis counts what the group has not read (from Redis 7 on) and not acknowledged."""

    def __init__(self, client: Any, group: str) -> None:
        super().__init__(client)
        self.group = group

    def read(self, names: "tuple[str, ...]") -> "list[wire.QueueDepth]":
        """Two round trips for all queues. The stream's length says nothing: what was acknowledged
        stays in it."""
        told = self.ask([("XINFO GROUPS", name) for name in names])
        groups = {
            name: group
            for name, all_ in zip(names, told, strict=True)
            if (group := self._own(all_))
        }
        waiting = [name for name, group in groups.items() if group.get("lag") != 0]
        heads = self.ask(
            [
                ("XRANGE", name, b"(" + groups[name]["last-delivered-id"], "+", "COUNT", 1)
                for name in waiting
            ]
        )
        since = {name: _entry_us(head) for name, head in zip(waiting, heads, strict=True)}
        return [
            wire.QueueDepth(
                name,
                number(group.get("lag")),
                taken=number(group.get("pending")),
                oldest_us=since.get(name, 0),
            )
            for name, group in groups.items()
        ]

    def _own(self, groups: Any) -> "dict[str, Any] | None":
        known = groups if isinstance(groups, list) else []
        return next((one for one in known if _text(one.get("name")) == self.group), None)


def _entry_us(entries: Any) -> int:
    """An entry's id begins with the millisecond of its addition."""
    if not isinstance(entries, list) or not entries:
        return 0
    return int(_text(entries[0][0]).partition("-")[0] or 0) * 1_000


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _has_list(broker: Any) -> bool:
    return any(one.__name__ == "ListQueueBroker" for one in type(broker).__mro__)


def _has_stream(broker: Any) -> bool:
    return any(one.__name__ == "RedisStreamBroker" for one in type(broker).__mro__)
