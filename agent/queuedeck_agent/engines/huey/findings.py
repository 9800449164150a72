# SPDX-License-Identifier: Apache-2.0
"""Huey's settings that can hurt."""

from typing import Any

from queuedeck_agent.findings import open_redis_with_pickle


def find(engine: Any) -> list[str]:
    found: list[str] = []
    for huey in list(engine.hueys.values()):
        pool = getattr(huey.storage, "pool", None)
        kwargs = getattr(pool, "connection_kwargs", None)
        if kwargs is not None and type(huey.serializer).__name__ == "Serializer":
            found += open_redis_with_pickle(
                kwargs, "sign messages with huey.serializer.SignedSerializer"
            )
        if huey.immediate:
            found.append(
                f"Huey `{huey.name}` is in immediate mode: tasks run in the process that calls "
                "them, and this consumer gets none. Take `immediate` out of its settings."
            )
        if not huey.results:
            found.append(
                f"Huey `{huey.name}` keeps no results: a task that was revoked or locked cannot be "
                "told from one that ran. Set results=True."
            )
    return found
