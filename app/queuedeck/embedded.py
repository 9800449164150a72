# SPDX-License-Identifier: AGPL-3.0-only
"""Granian inside our own event loop, and the order in which the server stops.

Granian's own launcher forks a worker that outlives a killed parent and never ends while an event
stream is open. Here the process that listens is the process that writes.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import uvloop

# The embedded server is public; the socket holder and `_init_shared_socket` are not. The version is
# pinned to ~=2.8, and tests/app/test_server.py covers what is used of it.
from granian._granian import SocketHolder
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar

from queuedeck import folder
from queuedeck.asgi import create_app, first_steps, stop_streams
from queuedeck.errors import Conflict
from queuedeck.settings import Settings

CONNECTIONS = 4_096
"""Granian counts open WebSockets and event streams as load: agents and browsers, with room."""
OPEN_REQUESTS_S = 1.0
"""How long open requests may take to finish once the server stops."""

_log = logging.getLogger("queuedeck.server")


def serve(settings: Settings, listener: socket.socket) -> bool:
    """Serve until SIGTERM or SIGINT. Whether all requests had ended when the stores closed."""
    return uvloop.run(_serve(settings, listener))


class EmbeddedServer(Server):
    """Granian on a socket that is bound already: the real port of `--port 0` is known, and a port
    in use is refused, where Granian's own socket would share it.
    """

    def __init__(self, app: Litestar, listener: socket.socket) -> None:
        # Without lifespan: we enter it ourselves, so that it is left even when requests hang.
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            backlog=CONNECTIONS,
            backpressure=CONNECTIONS,
            log_enabled=False,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._ssp: Any = None
        self._shd: Any = SocketHolder(os.dup(self._listener.fileno()), False, CONNECTIONS)  # pyright: ignore[reportCallIssue]


async def _serve(settings: Settings, listener: socket.socket) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        taken_away = asyncio.Event()
        if settings.database_url:
            from queuedeck.db.hold import hold

            taken_away = await stack.enter_async_context(hold(settings.database_url))
        await stack.enter_async_context(app.lifespan())
        server = EmbeddedServer(app, listener)
        serving = asyncio.create_task(server.serve())
        ends = {asyncio.create_task(stop.wait()), asyncio.create_task(taken_away.wait())}
        folder.write_address(settings.data, settings.url)
        try:
            await _say_ready(app, settings)
            await asyncio.wait({serving, *ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            folder.remove_address(settings.data)
            for end in ends:
                end.cancel()
            finished = await _stop(app, server, serving)
        if taken_away.is_set():
            raise Conflict("Another Queuedeck server took the database, so this one has stopped.")
    return finished


async def _say_ready(app: Litestar, settings: Settings) -> None:
    own = msgspec.structs.replace(settings, public_url="").url
    where = own if own == settings.url else f"{own}, reached as {settings.url}"
    lines = [f"Queuedeck listens on {where}", *await first_steps(app)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


async def _stop(app: Litestar, server: EmbeddedServer, serving: "asyncio.Task[None]") -> bool:
    _log.info("Stopping.")
    await stop_streams(app)
    server.stop()
    done, _ = await asyncio.wait((serving,), timeout=OPEN_REQUESTS_S)
    if not done:
        _log.warning("Requests that had not ended after %s s are cut off.", OPEN_REQUESTS_S)
    return bool(done)
