# SPDX-License-Identifier: Apache-2.0
"""The source of a taskiq broker, read from its settings."""

from typing import Any

from queuedeck_agent.engines import sources

_ADDRESSES = ("url", "dsn", "servers", "bootstrap_servers")
"""Attributes in which brokers of other packages keep where they connect to."""


def find_source(broker: Any) -> sources.Source:
    """Opens no connection."""
    return sources.name_source("taskiq", _urls(broker))


def _urls(broker: Any) -> list[str]:
    known = vars(broker)
    if getattr(known.get("connection_pool"), "connection_kwargs", None) is not None:
        return [sources.redis_url(broker)]
    for name in _ADDRESSES:
        found = known.get(name)
        many = found if isinstance(found, (list, tuple)) else [found]
        urls = [one for one in many if isinstance(one, str) and one]
        if urls:
            return urls
    return [f"{type(broker).__name__.lower()}://"]


def queue_of(broker: Any, labels: "dict[str, Any]") -> str:
    """Lists and channels of Redis may be chosen by a label; a stream is the broker's own."""
    label = labels.get("queue_name")
    if label and "Stream" not in type(broker).__name__:
        return str(label)
    return str(getattr(broker, "queue_name", "") or "")
