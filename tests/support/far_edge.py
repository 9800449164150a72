# SPDX-License-Identifier: AGPL-3.0-only
"""A tiny server for the agent's link: what the protocol says, plus every way to break it."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from queuedeck_agent import wire
from queuedeck_agent.config import Config
from queuedeck_agent.dsn import Dsn, SealKey

PROJECT = "shop"
AGENT_KEY = "qd_agt_0123456789"
SEAL = SealKey("00c0ffee", b"\x07" * 32)


class FarEdge:
    """Commits what arrives (in memory) by the rules of the protocol, and remembers all of it."""

    def __init__(self) -> None:
        self.root = Ed25519PrivateKey.generate()
        self.command = Ed25519PrivateKey.generate()
        self.received: dict[tuple[str, int], wire.Event] = {}
        """(lane, number) -> event; a `Loss` is under its own number only."""
        self.covered: dict[str, set[int]] = {}
        """Numbers of each lane that arrived, those that a `Loss` stands for included."""
        self.committed: dict[str, int] = {}
        self.duplicates = 0
        self.hellos: list[wire.Hello] = []
        self.welcomed = 0
        self.heartbeats: list[wire.Heartbeat] = []
        self.snapshots: list[wire.QueueSnapshot] = []
        self.frames: list[int] = []
        """Sizes of the frames in bytes."""
        self.requests: list[dict[str, str]] = []
        self.credit = 4 << 20
        self.cancelled: tuple[tuple[str, str], ...] = ()
        self.acks = True
        self.answer: tuple[int, dict[str, str], dict[str, str]] | None = None
        """(status, headers, error) instead of a WebSocket."""
        self.on_hello: Callable[[ServerConnection, wire.Hello], bool] | None = None
        """May talk instead of us; True when it has."""
        self.on_frame: Callable[[ServerConnection, wire.Frame], bool] | None = None
        self.port = _free_port()
        self.connections: list[ServerConnection] = []
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._server = serve(
            self._serve, "127.0.0.1", self.port, process_request=self._request, max_size=4 << 20
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Gone at once, as if it was killed: nobody says goodbye."""
        if self._server is None:
            return
        self._server.shutdown()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        self.connections.clear()
        assert self._thread is not None
        self._thread.join(10)
        self._server = None

    def dsn(self) -> Dsn:
        return Dsn(
            f"http://127.0.0.1:{self.port}",
            f"ws://127.0.0.1:{self.port}{wire.LINK_PATH}",
            AGENT_KEY,
            PROJECT,
            SEAL,
            self.root.public_key().public_bytes_raw(),
        )

    def config(self, spool: Path, **changes: Any) -> Config:
        return msgspec.structs.replace(Config(dsn=self.dsn(), spool=str(spool)), **changes)

    def send_command(self, body: wire.CommandBody) -> None:
        """Signs it and sends it; a command before the welcome would break the protocol."""
        wait_until(lambda: self.welcomed)
        raw = wire.encode(body)
        self.send(wire.Command(raw, self.command.sign(wire.COMMAND_CONTEXT + raw)))

    def send(self, message: wire.ServerMessage) -> None:
        self.connections[-1].send(wire.encode(message))

    def events(self, kind: type[wire.Event]) -> list[Any]:
        return [event for event in list(self.received.values()) if isinstance(event, kind)]

    def lost(self) -> int:
        return sum(event.count for event in self.events(wire.Loss))

    def welcome(self, hello: wire.Hello) -> wire.Welcome:
        key = self.command.public_key().public_bytes_raw()
        committed = {lane: self.committed.get(lane, 0) for lane, _ in hello.lanes}
        return wire.Welcome(
            wire.PROTOCOL,
            PROJECT,
            self.credit,
            key,
            self.root.sign(wire.COMMAND_KEY_CONTEXT + key),
            committed,
            self.cancelled,
        )

    def take(self, frame: wire.Frame) -> wire.Ack | wire.Nack:
        committed: dict[str, int] = {}
        for part in frame.parts:
            events = [_decoded(raw) for raw in part.events]
            numbers = [event.count if isinstance(event, wire.Loss) else 1 for event in events]
            number = part.last - sum(numbers)
            have = self.committed.get(part.lane, 0)
            if number > have:
                return wire.Nack({part.lane: have})
            for event, count in zip(events, numbers, strict=True):
                self._keep(part.lane, number + 1, number + count, event)
                number += count
            committed[part.lane] = self.committed[part.lane] = max(have, part.last)
        return wire.Ack(committed)

    def _keep(self, lane: str, first: int, last: int, event: wire.Event) -> None:
        if last <= self.committed.get(lane, 0):
            self.duplicates += 1
            return
        self.received[lane, last] = event
        self.covered.setdefault(lane, set()).update(range(first, last + 1))

    def _request(self, _: ServerConnection, request: Request) -> Response | None:
        self.requests.append(dict(request.headers.raw_items()))
        if self.answer is None:
            return None
        status, headers, error = self.answer
        body = json.dumps({"error": error}).encode()
        response = Response(status, HTTPStatus(status).phrase, request.headers.__class__(), body)
        response.headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            for data in connection:
                assert isinstance(data, bytes)
                self._answer(connection, wire.decode_agent_message(data), len(data))
        except (ConnectionClosed, OSError):
            return

    def _answer(self, connection: ServerConnection, message: wire.AgentMessage, size: int) -> None:
        if isinstance(message, wire.Hello):
            self.hellos.append(message)
            if self.on_hello is None or not self.on_hello(connection, message):
                connection.send(wire.encode(self.welcome(message)))
                self.welcomed += 1
        elif isinstance(message, wire.Heartbeat):
            self.heartbeats.append(message)
        elif isinstance(message, wire.QueueSnapshot):
            self.snapshots.append(message)
        elif not isinstance(message, wire.TaskCatalog):
            self.frames.append(size)
            if self.on_frame is not None and self.on_frame(connection, message):
                return
            answer = self.take(message)
            if self.acks:
                connection.send(wire.encode(answer))


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Fails unless the condition comes true in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def _decoded(raw: msgspec.Raw) -> wire.Event:
    return wire.decode_event(raw)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
