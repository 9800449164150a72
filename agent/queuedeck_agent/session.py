# SPDX-License-Identifier: Apache-2.0
"""One connection of the link: hello, welcome, frames within the credit, acks, heartbeats."""

import os
import socket
import time
from typing import TYPE_CHECKING

import msgspec
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection

from queuedeck_agent import memory, wire
from queuedeck_agent.catalog import Catalogs
from queuedeck_agent.guard import note
from queuedeck_agent.runner import MOST_COMMANDS
from queuedeck_agent.shipper import Nonsense
from queuedeck_agent.trust import Trust

if TYPE_CHECKING:
    from queuedeck_agent.link import Link

TICK_S = 0.2
FORKING_TICK_S = 0.5
"""Where each task has a process of its own: after a fork all that a turn touches is copied anew."""
HEARTBEAT_S = 10.0
FIRST_BEAT_S = 2.0
"""Pages show the numbers of a heartbeat: a new worker has some soon."""
SILENCE_S = 45.0
WELCOME_S = 15.0
MOST_NACKS = 20
"""So many without an ack between them: server and spool will not agree."""


_SOCKETS = ("socket", "shutdown_notifier", "shutdown_watcher")
"""Of a connection of websockets. Newer versions end their own thread by the pair."""


class _Kind(msgspec.Struct, array_like=True):
    """The first element of any message."""

    kind: str


_kind = msgspec.msgpack.Decoder(_Kind).decode
_KNOWN = frozenset(("welcome", "ack", "nack", "credit", "command", "goodbye", "observe"))


class Session:
    """What is true for one connection only: nonce, credit, who may command."""

    def __init__(self, link: "Link") -> None:
        self._link = link
        self._agent = link.agent
        self._nonce = os.urandom(16)
        self._trust: Trust | None = None
        self._catalogs = Catalogs(self._agent)
        self._credit = 0
        self._nacks = 0
        self._commands = 0
        self._said_goodbye = False
        self._connection: ClientConnection | None = None
        self.sockets: list[socket.socket] = []
        """What the connection holds open."""
        self._heard = time.monotonic()
        self._next_beat = self._heard + FIRST_BEAT_S
        self.retry_after = 0.0
        self.goodbye = ""
        """What the server gave as its reason to end the connection."""

    def serve(self, connection: ClientConnection) -> None:
        """Returns when the server or this process says goodbye; raises whatever else ends it."""
        self._connection = connection
        self.sockets = [
            found for name in _SOCKETS if (found := getattr(connection, name, None)) is not None
        ]
        opened = time.monotonic()
        self._say_hello()
        tick = opened
        while self._link.may_go_on and not self._said_goodbye:
            now = time.monotonic()
            if now >= tick:
                tick = now + (FORKING_TICK_S if self._agent.recorder.has_lent else TICK_S)
                with self._link.busy:
                    self._on_tick(now)
            message = self._receive(max(0.0, tick - time.monotonic()))
            if message is not None:
                with self._link.busy:
                    self._heard = time.monotonic()
                    self._on_message(message)
            elif self._trust is None and now - opened > WELCOME_S:
                raise Nonsense("no welcome came after the hello")

    def _receive(self, timeout: float) -> bytes | None:
        assert self._connection is not None  # noqa: S101 - set by serve
        try:
            message = self._connection.recv(timeout=timeout)
        except TimeoutError:
            return None
        if isinstance(message, str):
            raise Nonsense("text, where every message is binary")
        return message

    def _on_tick(self, now: float) -> None:
        if now - self._heard > SILENCE_S:
            raise TimeoutError
        self._link.look_around()
        if self._trust is None:
            return
        if self._link.hello_due:
            self._say_hello()
        if now >= self._next_beat:
            self._next_beat = now + HEARTBEAT_S
            self._send(wire.encode(self._heartbeat()))
        for snapshot in self._link.discovery.take():
            self._send(wire.encode(snapshot))
        for catalog in self._catalogs.take():
            self._send(wire.encode(catalog))
        self._ship()

    def _ship(self) -> None:
        """Frames as long as there are records and credit."""
        shipper = self._link.shipper
        while self._link.may_go_on:
            frame = shipper.next_frame(self._credit - shipper.in_flight_bytes)
            if frame is not None:
                self._send(frame)
            if frame is None or not shipper.behind:
                return

    def _on_message(self, data: bytes) -> None:
        if _kind(data).kind not in _KNOWN:
            note("queuedeck_agent.session.unknown-message", Nonsense(_kind(data).kind))
            return  # of a newer server: the protocol allows us not to know it
        message = wire.decode_server_message(data)
        if isinstance(message, wire.Welcome):
            self._welcomed(message)
        elif isinstance(message, wire.Ack):
            self._nacks = 0
            self._link.shipper.acknowledged(message.committed)
            if self._link.shipper.behind:
                self._ship()
        elif isinstance(message, wire.Nack):
            self._nacks += 1
            if self._nacks > MOST_NACKS:
                raise Nonsense("it asks for the same records again and again")
            self._link.shipper.send_again(message.expected)
        elif isinstance(message, wire.Credit):
            self._credit = max(0, message.credit_bytes)
        elif isinstance(message, wire.Command):
            self._commanded(message)
        elif isinstance(message, wire.Observe):
            self._link.discovery.observe(message)
        else:
            self.retry_after = float(max(0, min(message.retry_after_s, 600)))
            self.goodbye = f": {message.reason[:200]}" if message.reason else ""
            self._said_goodbye = True

    def _welcomed(self, welcome: wire.Welcome) -> None:
        if welcome.project != self._agent.project:
            raise Nonsense(f"it welcomed us to project {welcome.project}")
        first = self._trust is None
        self._credit = max(0, welcome.credit_bytes)
        self._trust = Trust(self._nonce, welcome.command_key, welcome.command_cert)
        if "cancel" in self._agent.policy.allow:
            self._agent.cancelled.add(welcome.cancelled)
        if welcome.checkpoint:
            self._agent.checkpoint = welcome.checkpoint
        if first:
            self._link.shipper.begin(welcome.committed)
            self._link.connected(welcome.project)
            self._ship()

    def _commanded(self, command: wire.Command) -> None:
        if self._trust is None:
            raise Nonsense("a command came before the welcome")
        self._link.take_command(command, self._trust)
        self._commands += 1
        if self._commands == MOST_COMMANDS:
            self.goodbye = ", as far as we go: a new connection makes its old commands void"
            self._said_goodbye = True

    def _say_hello(self) -> None:
        self._link.hello_due = False
        self._catalogs.look_now()
        self._send(wire.encode(self._agent.hello(self._nonce, self._link.shipper.lanes)))

    def _heartbeat(self) -> wire.Heartbeat:
        hooks = sorted(self._agent.recorder.hook_us)
        used = memory.used()
        return wire.Heartbeat(
            clock_us=time.time_ns() // 1_000,
            captured=self._link.shipper.shipped,
            lost=self._link.shipper.lost + self._agent.recorder.dropped,
            backlog_bytes=self._link.shipper.backlog_bytes(),
            hook_p99_us=hooks[len(hooks) * 99 // 100] if hooks else 0,
            rss_bytes=used.own,
            children=used.children,
            children_rss_bytes=used.of_children,
        )

    def _send(self, data: bytes) -> None:
        if self._connection is None:
            raise ConnectionClosedError(None, None)
        self._connection.send(data)
