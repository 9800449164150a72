# SPDX-License-Identifier: AGPL-3.0-only
"""The application as the network sees it: what must hold before a route is chosen and after any
answer, unknown paths and broken requests included.
"""

from typing import Any, cast

from litestar import Litestar
from litestar.types import LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

from queuedeck.entrance.headers import with_security_headers
from queuedeck.entrance.paths import routed_path
from queuedeck.entrance.proxies import TrustedProxies
from queuedeck.settings import Settings


class Application(Litestar):
    """Litestar with encoded slashes in paths, trusted proxies and security headers."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._is_https = settings.is_https
        self._proxies = TrustedProxies(settings.trusted_proxies)

    async def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        scope["path"] = routed_path(raw_path)
        self._proxies.apply(scope)
        send = with_security_headers(cast("Send", send), self._is_https)
        await super().__call__(scope, receive, send)
