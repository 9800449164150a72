# SPDX-License-Identifier: AGPL-3.0-only
"""The WebSocket that agents connect to. It reads raw ASGI messages: Litestar's listeners answer one
by one, which does not go with acknowledgements after a group commit.
"""

from typing import Any, cast

import msgspec
from litestar import WebSocket, websocket

from queuedeck.entrance.guards import public, services_of
from queuedeck.gateway.auth import RETRY_AFTER_S, Refused, admit
from queuedeck.gateway.hub import Gateway
from queuedeck.gateway.link import Link
from queuedeck_agent import wire

AnyWebSocket = WebSocket[Any, Any, Any]


# Public to the guards, because agents are no users: `admit` decides.
@websocket(wire.LINK_PATH, guards=[public()])
async def agent_link(socket: AnyWebSocket) -> None:
    """Refuse before the upgrade with a real HTTP answer, or serve the link to its end."""
    services = services_of(socket)
    gateway = cast("Gateway", socket.app.state["gateway"])
    await socket.receive()  # websocket.connect
    try:
        if not gateway.takes_more():
            raise Refused(503, "busy", "This server takes no more agents now. Try again.")
        key = await admit(socket.headers, services.control)
    except Refused as refused:
        await _answer(socket, refused)
        return
    await socket.send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    await Link(gateway, key, socket.receive, socket.send).run()


async def _answer(socket: AnyWebSocket, refused: Refused) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="queuedeck"'))
    if refused.status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    body = {"error": {"code": refused.code, "message": refused.message}}
    send = cast("Any", socket.send)  # Litestar's types do not know this ASGI extension.
    await send(
        {"type": "websocket.http.response.start", "status": refused.status, "headers": headers}
    )
    await send(
        {
            "type": "websocket.http.response.body",
            "body": msgspec.json.encode(body),
            "more_body": False,
        }
    )
