# SPDX-License-Identifier: AGPL-3.0-only
"""A broker that speaks Redis, without anything to install: `redis-server` from the PATH, else
fakeredis in a process of its own (`python -m queuedeck.demo.broker PORT`). Nothing is persisted.
"""

import secrets
import shutil
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from queuedeck.demo.children import Child, start
from queuedeck.errors import Unavailable

START_TIMEOUT_S = 10.0
INFO = (
    b"# Server\r\nredis_version:7.4.0\r\nredis_mode:standalone\r\n"
    b"# Clients\r\nconnected_clients:1\r\n"
    b"# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\n"
)
"""What fakeredis says of itself: what workers print when they start."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def start_broker(folder: Path, program: str | None = "redis-server") -> tuple[Child, str]:
    """Start a broker on loopback and wait until it answers; the process and its URL.

    `program=None` asks for fakeredis.
    """
    port = free_port()
    server = shutil.which(program) if program else None
    if server:
        password = secrets.token_hex(16)
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        child = start("broker", [server, "-"], folder, feed=_configuration(port, password, folder))
    else:
        url = f"redis://127.0.0.1:{port}/0"
        child = start("broker", [sys.executable, "-m", "queuedeck.demo.broker", str(port)], folder)
    _wait(child, url)
    return child, url


def serve_fake(port: int) -> None:
    """Serve fakeredis on loopback until killed, with what it lacks for the engines' workers.

    The stock handler closes the connection after any error reply, which ends workers that expect
    some errors (a script not loaded yet): ours answers with the error and goes on. It tells clients
    their address in a form that redis-py can read, which RQ asks for. And there is INFO, for arq.
    """
    from fakeredis import TcpFakeServer

    _add_info()
    server = cast("Any", TcpFakeServer(("127.0.0.1", port)))
    stock = server.RequestHandlerClass

    def setup(self: Any) -> None:
        stock.setup(self)
        client = self.current_client.get_socket()._client_info
        for side in ("addr", "laddr"):
            client[side] = "{}:{}".format(*client[side])
        self.current_client = _AnswersErrors(self.current_client)

    server.RequestHandlerClass = type("KeepsConnection", (stock,), {"setup": setup})
    server.daemon_threads = True
    server.serve_forever()


def _add_info() -> None:
    """Give fakeredis the command INFO, if it has none: all sections at once."""
    commands = cast("Any", import_module("fakeredis._commands"))
    sockets = cast("Any", import_module("fakeredis._socket"))
    if "info" in commands.SUPPORTED_COMMANDS:
        return

    def info(_self: Any, *_sections: bytes) -> bytes:
        return INFO

    commands.command(name="INFO", fixed=(), repeat=(bytes,))(info)
    sockets.FakeSocket.info = info


class _AnswersErrors:
    """A fakeredis connection that returns an error reply as a value to be written, not raised."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def read_response(self) -> object:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _configuration(port: int, password: str, folder: Path) -> str:
    """Given on standard input, so that the password is in no list of processes."""
    return (
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        f'dir "{folder}"\nsave ""\nappendonly no\ndaemonize no\n'
    )


def _wait(child: Child, url: str) -> None:
    client = Redis.from_url(url, socket_timeout=1)
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client.ping()
        except RedisError as error:
            child.check()
            if time.monotonic() > until:
                raise Unavailable(
                    f"The broker did not answer within {START_TIMEOUT_S:.0f} s."
                ) from error
            time.sleep(0.05)
        else:
            client.close()
            return


if __name__ == "__main__":
    serve_fake(int(sys.argv[1]))
