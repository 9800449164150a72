# SPDX-License-Identifier: Apache-2.0
"""The DSN: the one setting that connects an agent. It is a secret, so it is never printed whole."""

import base64
import binascii
import hashlib
import ipaddress
import urllib.parse

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.errors import ConfigError

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_MAKE_ONE = "Make a new one on the connect page, or with `queuedeck keys create PROJECT`"


class SealKey(msgspec.Struct, frozen=True):
    """A sealing key with its id. The server knows the id and never the key."""

    kid: str
    key: bytes

    def __repr__(self) -> str:
        return f"SealKey({self.kid})"


class Dsn(msgspec.Struct, frozen=True):
    """A parsed DSN. `repr` and `server_url` hold no secret."""

    server_url: str
    """http(s)://host[:port][/base], as a person types it."""
    link_url: str
    """The WebSocket below it."""
    agent_key: str
    project: str
    seal: SealKey
    root_key: bytes
    """The server's Ed25519 root key: commands must descend from it."""
    insecure: bool = False
    """Plain http off loopback was asked for."""

    def __repr__(self) -> str:
        return f"Dsn({self.server_url}, project {self.project}, seal {self.seal.kid})"

    @property
    def spool_name(self) -> str:
        """The folder of this server and project; the key is no part of it, so rotation is safe."""
        return hashlib.sha256(f"{self.server_url}\n{self.project}".encode()).hexdigest()[:16]


def parse(text: str) -> Dsn:
    """Reads a DSN; raises `ConfigError` that says which part is wrong, without the secrets."""
    parts = _split(text.strip())
    scheme = parts.scheme
    host, port = _host(parts)
    base, _, project = parts.path.rstrip("/").rpartition("/")
    if not project:
        raise _wrong("the name of the project is missing after the server's address")
    if not parts.username or not parts.username.startswith("qd_agt_"):
        raise _wrong("the agent key (qd_agt_...) is missing before the @")
    query = dict(urllib.parse.parse_qsl(parts.query))
    insecure = query.get("insecure") == "1"
    if _SCHEMES[scheme] == "ws" and not insecure and not _is_loopback(host):
        raise ConfigError(
            f"QUEUEDECK_DSN uses plain http to {host}, which is not this machine: the key and the "
            "events could be read on the way.",
            "Use https, or add &insecure=1 to the DSN if the network is yours.",
        )
    secure = _SCHEMES[scheme] == "wss"
    place = f"{_bracketed(host)}{f':{port}' if port else ''}{base}"
    return Dsn(
        server_url=f"{'https' if secure else 'http'}://{place}",
        link_url=f"{'wss' if secure else 'ws'}://{place}{wire.LINK_PATH}",
        agent_key=parts.username,
        project=project,
        seal=_seal_key(query.get("seal", "")),
        root_key=_bytes32("root", query.get("root", "")),
        insecure=insecure and not secure and not _is_loopback(host),
    )


def _split(text: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        raise _wrong("it is not a URL") from None
    if parts.scheme not in _SCHEMES:
        raise _wrong("it must begin with https:// (or http://)")
    return parts


def _host(parts: urllib.parse.SplitResult) -> tuple[str, int | None]:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong("the port is not a number from 1 to 65535") from None
    if not host:
        raise _wrong("the server's address is missing")
    return host, port


def _seal_key(text: str) -> SealKey:
    kid, _, key = text.partition(".")
    if len(kid) != 8 or any(digit not in "0123456789abcdef" for digit in kid):
        raise _wrong("seal= must be eight hex digits, a point and the key")
    return SealKey(kid, _bytes32("seal", key))


def _bytes32(name: str, text: str) -> bytes:
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 32:
        raise _wrong(f"{name}= is missing or damaged, as if the DSN was not copied whole")
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _wrong(what: str) -> ConfigError:
    return ConfigError(
        f"QUEUEDECK_DSN cannot be used: {what}.", f"{_MAKE_ONE} and copy it whole, in quotes."
    )
