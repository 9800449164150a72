# SPDX-License-Identifier: Apache-2.0
"""The actors of a Dramatiq broker."""

from typing import Any

from queuedeck_agent.catalog import Registered


def registered(engine: Any) -> list[Registered]:
    """Limits are an actor's own, else those of the broker's middlewares."""
    broker = engine.broker
    limits = {type(one).__name__: one for one in list(broker.middleware)}
    retries = getattr(limits.get("Retries"), "max_retries", None)
    limit_ms = getattr(limits.get("TimeLimit"), "time_limit", None)
    return [
        Registered(
            name=str(name),
            function=actor.fn,
            queue=str(actor.queue_name),
            max_retries=_number(actor.options.get("max_retries", retries), -1),
            time_limit_s=_number(actor.options.get("time_limit", limit_ms), 0) / 1_000,
        )
        for name, actor in list(broker.actors.items())
    ]


def _number(value: Any, unknown: int) -> int:
    return int(value) if isinstance(value, (int, float)) and value < 1e12 else unknown
