# SPDX-License-Identifier: AGPL-3.0-only
"""The DSN: all that one agent needs, in one line. Made here, shown once, never stored.

`http[s]://<agent key>@host[:port][/base]/<project>?seal=<id>.<key>&root=<public key>[&insecure=1]`
"""

import base64
import binascii
import ipaddress
import secrets
from urllib.parse import parse_qs, urlsplit

import msgspec

from queuedeck.errors import Invalid
from queuedeck.keyring import b64

SEAL_KEY_BYTES = 32
SEAL_ID_BYTES = 4
_LOOPBACK_NAMES = frozenset({"localhost"})


class SealKey(msgspec.Struct, frozen=True):
    """Seals and opens the original calls of a project's tasks. The server keeps the id only."""

    id: str
    """8 hex digits."""
    key: bytes


class Dsn(msgspec.Struct, frozen=True):
    """What the server needs of a DSN that somebody shows it."""

    agent_key: str
    project: str
    seal: SealKey


def new_seal_key() -> SealKey:
    return SealKey(secrets.token_hex(SEAL_ID_BYTES), secrets.token_bytes(SEAL_KEY_BYTES))


def format_dsn(url: str, agent_key: str, project: str, seal: SealKey, root: bytes) -> str:
    """The DSN for a server at `url`, which may have a path of its own."""
    scheme, _, rest = url.rstrip("/").partition("://")
    text = (
        f"{scheme}://{agent_key}@{rest}/{project}?seal={seal.id}.{b64(seal.key)}&root={b64(root)}"
    )
    return text + ("&insecure=1" if is_insecure(url) else "")


def is_insecure(url: str) -> bool:
    """Whether keys and events would cross a network unencrypted: plain http off loopback."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def parse_dsn(text: str) -> Dsn:
    """Read a DSN back. Raises `Invalid`; the message never repeats the secrets in it."""
    try:
        parts = urlsplit(text.strip())
    except ValueError as error:
        raise Invalid("This is not a DSN: its address cannot be read.") from error
    project = parts.path.rstrip("/").rpartition("/")[2]
    seals = parse_qs(parts.query).get("seal", [])
    if parts.scheme not in ("http", "https") or not parts.username or not project:
        raise Invalid("This is not a DSN. It begins with https://qd_agt_ and names a project.")
    if len(seals) != 1:
        raise Invalid("This DSN has no `seal=` part. Copy the whole line, in quotes.")
    return Dsn(parts.username, project, _seal_key(seals[0]))


def _seal_key(text: str) -> SealKey:
    seal_id, _, encoded = text.partition(".")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        id_fits = len(bytes.fromhex(seal_id)) == SEAL_ID_BYTES and seal_id == seal_id.lower()
    except (binascii.Error, ValueError):
        key, id_fits = b"", False
    if len(key) != SEAL_KEY_BYTES or not id_fits:
        raise Invalid("The `seal=` part of this DSN is damaged. Copy the whole line again.")
    return SealKey(seal_id, key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOOPBACK_NAMES
