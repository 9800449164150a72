# SPDX-License-Identifier: Apache-2.0
"""The source of a Dramatiq broker: where it is and its namespace, read from its settings."""

import urllib.parse
from typing import Any

from queuedeck_agent.engines import sources

DEFAULT_NAMESPACE = "dramatiq"


def find_source(broker: Any) -> sources.Source:
    """Opens no connection."""
    namespace = vars(broker).get("namespace", "")
    prefix = namespace if isinstance(namespace, str) and namespace != DEFAULT_NAMESPACE else ""
    return sources.name_source("dramatiq", _urls(broker), prefix)


def broker_kind(broker: Any) -> str:
    """`redis` or `rabbitmq`; empty for a broker that we do not know."""
    own = vars(broker)
    if "client" in own and "namespace" in own:
        return "redis"
    return "rabbitmq" if "confirm_delivery" in own and "parameters" in own else ""


def _urls(broker: Any) -> list[str]:
    client = vars(broker).get("client")
    if client is not None:
        return [sources.redis_url(client)]
    parameters = vars(broker).get("parameters")
    if parameters is not None:
        return [
            _amqp(one) for one in (parameters if isinstance(parameters, list) else [parameters])
        ]
    return [f"{type(broker).__name__.lower()}://"]


def _amqp(parameters: Any) -> str:
    """Parameters of a RabbitMQ connection, as pika has them."""
    host = str(getattr(parameters, "host", "") or "")
    host = f"[{host}]" if ":" in host else host
    virtual_host = urllib.parse.quote(str(getattr(parameters, "virtual_host", "") or "/"), "")
    return f"amqp://{host}:{getattr(parameters, 'port', 5672)}/{virtual_host}"
