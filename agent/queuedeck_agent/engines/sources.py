# SPDX-License-Identifier: Apache-2.0
"""Names a source: one engine on one broker and namespace, the same on every host, no secrets."""

import hashlib
import urllib.parse
from typing import Any, NamedTuple

from queuedeck_agent import wire

_SCHEMES = {"pyamqp": "amqp", "librabbitmq": "amqp", "confluentkafka": "kafka"}
_PORTS = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
_PLACES = {"amqp": "/", "amqps": "/", "redis": "0", "rediss": "0"}
_LOOPBACK = frozenset({"127.0.0.1", "::1", ""})


class Source(NamedTuple):
    """What events carry (`key`) and what people read (`name`)."""

    key: str
    name: str


def name_source(engine: str, urls: list[str], prefix: str = "") -> Source:
    """`urls`: one, or several for fail-over; `prefix` is that of the broker's keys."""
    name = ";".join(_sanitised(url.strip()) for url in urls)
    digest = hashlib.sha256(f"{engine}\n{name}\n{prefix}".encode("utf-8", "replace"))
    return Source(digest.hexdigest()[:12], f"{name} ({prefix})" if prefix else name)


def redis_url(client: Any) -> str:
    """Where a client of redis-py connects to, read from its settings: nothing is opened."""
    pool = getattr(client, "connection_pool", None)
    options: dict[str, Any] = getattr(pool, "connection_kwargs", None) or {}
    place = options.get("db") or 0
    service = getattr(pool, "service_name", "")
    if service:
        return f"sentinel://{service}/{place}"
    if options.get("path"):
        return f"unix://{options['path']}?db={place}"
    kind = getattr(getattr(pool, "connection_class", None), "__name__", "")
    scheme = "rediss" if kind.startswith("SSL") else "redis"
    host = str(options.get("host") or "")
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{options.get('port') or _PORTS[scheme]}/{place}"


def seen(engine: str, source: Source, version: str, at_us: int) -> wire.SourceSeen:
    """The event that introduces the source to the server."""
    return wire.SourceSeen(at_us, source.key, engine, source.name, version)


def _sanitised(url: str) -> str:
    """No user, no password, no query; port and virtual host always there."""
    parts = urllib.parse.urlsplit(url if "://" in url else f"{url}://")
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    if scheme.startswith(("sqla", "filesystem", "memory")):
        return f"{scheme}://{parts.path if parts.hostname is None else ''}"
    if scheme == "unix":
        return f"unix://{parts.path}?{parts.query}"
    host = (parts.hostname or "").lower()
    host = "localhost" if host in _LOOPBACK else host
    try:
        port = parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        port = 0
    place = urllib.parse.unquote(parts.path[1:]) or _PLACES.get(scheme, "")
    if not scheme.startswith("amqp") or place == "/":
        place = place.lstrip("/")  # the virtual hosts `shop` and `/shop` are two
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{bracketed}{f':{port}' if port else ''}/{place}"
