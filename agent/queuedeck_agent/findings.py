# SPDX-License-Identifier: Apache-2.0
"""Settings of a worker that can hurt: one sentence each, with what to do. Read from what the
application has loaded already; nothing is asked of the broker.
"""

import importlib
from typing import TYPE_CHECKING, Any

from queuedeck_agent import wire
from queuedeck_agent.guard import note

if TYPE_CHECKING:
    from queuedeck_agent.engines.base import Engine

MOST = 20
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def found(engine: "Engine", info: wire.EngineInfo) -> tuple[str, ...]:
    """What the engine's `findings.py` sees; of workers only, and nothing when it fails."""
    if info.role != "worker":
        return ()
    try:
        module = importlib.import_module(f"queuedeck_agent.engines.{info.engine}.findings")
        return tuple(module.find(engine))[:MOST]
    except Exception as error:  # noqa: BLE001 - an application may be set up in any way
        note("queuedeck_agent.findings", error)
        return ()


def open_redis_with_pickle(connection_kwargs: "dict[str, Any]", remedy: str) -> list[str]:
    """For engines that pickle what they put into Redis, on a Redis that asks for no password."""
    host = str(connection_kwargs.get("host") or "localhost")
    if connection_kwargs.get("password") or connection_kwargs.get("path") or host in _LOOPBACK:
        return []
    return [
        f"Messages are pickled, and Redis on {host} is used without a password: whoever can write "
        f"there can run code in this worker. Give Redis a password, or {remedy}."
    ]
