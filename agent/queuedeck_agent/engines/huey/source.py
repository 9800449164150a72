# SPDX-License-Identifier: Apache-2.0
"""The source of a Huey instance: where its storage is. Reads settings, opens nothing."""

import os
import socket
from typing import Any

from queuedeck_agent.engines import sources


def find_source(storage: Any) -> sources.Source:
    """Instances with different names on one storage are queues of one source."""
    return sources.name_source("huey", [_url(storage)])


def _url(storage: Any) -> str:
    client = getattr(storage, "conn", None) if hasattr(storage, "pool") else None
    if client is not None:
        return sources.redis_url(client)
    for name in ("filename", "path"):
        place = getattr(storage, name, None)
        if isinstance(place, str):
            kind = "sqlite" if name == "filename" else "file"
            return f"{kind}://localhost/{os.path.abspath(place)}"  # noqa: PTH100 - dear to import
    if hasattr(storage, "connection_params") and hasattr(storage, "dsn"):
        return _postgres_url(storage.dsn, storage.connection_params)
    # In memory, or a storage of the application's own: nobody else can be told where it is.
    kind = type(storage).__name__.lower().removesuffix("storage") or "huey"
    own = f"/{os.getpid()}" if kind in ("memory", "blackhole") else ""
    return f"{kind}://{socket.gethostname()}{own}"


def _postgres_url(dsn: Any, options: "dict[str, Any]") -> str:
    """A DSN is a URL, or `key=value` words; without either libpq reads its own variables."""
    if isinstance(dsn, str) and "://" in dsn:
        return dsn
    words = [word.partition("=") for word in str(dsn or "").split()]
    found = {**{key: value for key, _, value in words}, **options}
    host = found.get("host") or os.environ.get("PGHOST") or "localhost"
    port = found.get("port") or os.environ.get("PGPORT") or 5432
    name = found.get("dbname") or found.get("database") or os.environ.get("PGDATABASE") or ""
    return f"postgresql://{host}:{port}/{name}"
