# SPDX-License-Identifier: AGPL-3.0-only
"""The other end: a real server, or one that is down, slow, or takes connections and is silent."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

MODES = ("up", "down", "slow", "blackholed")
DELAY_S = 0.5
"""What a slow server waits before each answer, and before it reads on."""
_CHUNK_BYTES = 4096


class Served(NamedTuple):
    """A project on a server."""

    dsn: str
    url: str
    token: str
    answers: bool

    def stored(self) -> int:
        """How many tasks have succeeded, by the server."""
        where = f"{self.url}/api/v1/projects/bench/totals"
        with urlopen(Request(where, headers={"Authorization": f"Bearer {self.token}"})) as answer:
            engines: dict[str, dict[str, int]] = json.loads(answer.read())["states"]
        return sum(states.get("succeeded", 0) for states in engines.values())


@contextlib.contextmanager
def server(folder: Path, mode: str) -> Generator[Served]:
    """A server with a project. Where it does not answer it existed once: the DSN is a real one."""
    port, relay_port = _free_port(), _free_port()
    reached = relay_port if mode == "slow" else port
    env = {**os.environ, "QUEUEDECK_DATA": str(folder / "data"), "QUEUEDECK_PORT": str(port)}
    env["QUEUEDECK_PUBLIC_URL"] = f"http://127.0.0.1:{reached}"
    command = [sys.executable, "-m", "queuedeck"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen([*command, "serve"], env=env, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while "error" in (made := _made(command, env, "projects", "create", "bench")):
            if time.monotonic() > until:
                raise TimeoutError(f"the server does not start: {made['error']}")
        dsn = _made(command, env, "keys", "create", "bench")["dsn"]
        token = _made(command, env, "tokens", "create", "bench", "--role", "viewer")["token"]
        url = f"http://127.0.0.1:{port}"
        if mode in ("down", "blackholed"):
            process.send_signal(signal.SIGTERM)
            process.wait(15)
        with contextlib.ExitStack() as stack:
            if mode == "blackholed":
                stack.enter_context(_blackhole(port))
            elif mode == "slow":
                stack.enter_context(_slow_relay(relay_port, port))
            yield Served(dsn, url, token, mode in ("up", "slow"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def _made(command: list[str], env: dict[str, str], *words: str) -> dict[str, Any]:
    done = subprocess.run([*command, *words, "--json"], env=env, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr}
    return json.loads(done.stdout.splitlines()[-1])


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _blackhole(port: int) -> Generator[None]:
    """Takes every connection, reads nothing and says nothing."""
    kept: list[socket.socket] = []
    listener = _listener(port)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                kept.append(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        for one in (listener, *kept):
            one.close()


@contextlib.contextmanager
def _slow_relay(port: int, to_port: int) -> Generator[None]:
    """Passes bytes on late and in small pieces, both ways."""
    listener = _listener(port)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", to_port))
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            time.sleep(DELAY_S)
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener
