# SPDX-License-Identifier: AGPL-3.0-only
"""Whose X-Forwarded-* headers count. By default nobody's: an address that anybody can claim would
defeat the login throttle and lie in the audit log.
"""

import ipaddress
from collections.abc import Iterable

from litestar.types import Scope

from queuedeck.errors import Invalid

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """Addresses and networks of QUEUEDECK_TRUSTED_PROXIES."""

    def __init__(self, names: Iterable[str]) -> None:
        self._networks: list[_Network] = [_network(name) for name in names]

    def apply(self, scope: Scope) -> None:
        """Replace the client's address and scheme by what trusted proxies report."""
        client = scope.get("client")
        if not self._networks or client is None or not self._trusts(client[0]):
            return
        forwarded = _header(scope, b"x-forwarded-for")
        addresses = [part.strip() for part in forwarded.split(",") if part.strip()]
        # The last address that no trusted proxy owns: what stands before it may be invented.
        outside = [address for address in addresses if not self._trusts(address)]
        if outside and _is_address(outside[-1]):
            scope["client"] = (outside[-1], 0)
        scheme = _header(scope, b"x-forwarded-proto").strip().lower()
        if scope["type"] == "http" and scheme in ("http", "https"):
            scope["scheme"] = scheme

    def _trusts(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _header(scope: Scope, name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _network(name: str) -> _Network:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError as error:
        raise Invalid(
            f"QUEUEDECK_TRUSTED_PROXIES names {name!r}, which is not an address or a network; "
            "write for example 10.0.0.5 or 10.0.0.0/8."
        ) from error
