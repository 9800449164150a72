# SPDX-License-Identifier: AGPL-3.0-only
"""Security headers, on every answer: pages, partials, API, errors and unknown paths alike."""

from litestar.types import Message, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # `no-referrer` would turn the Origin of our own forms into `null`.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")


def with_security_headers(send: Send, is_https: bool) -> Send:
    """A `send` that adds the headers; `no-store` unless the answer says how long it lives."""
    added = (*_ALWAYS, _HSTS) if is_https else _ALWAYS

    async def send_with_headers(message: Message) -> None:
        # The second is how an agent is refused before its link opens.
        if (
            message["type"] == "http.response.start"
            or message["type"] == "websocket.http.response.start"
        ):
            headers = list(message["headers"])
            names = {name.lower() for name, _ in headers}
            headers += [header for header in added if header[0] not in names]
            if b"cache-control" not in names:
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers
        await send(message)

    return send_with_headers
