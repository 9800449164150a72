# SPDX-License-Identifier: Apache-2.0
"""Carries out commands: verify, ask the host's policy, journal, act, record the outcome.

On a thread of its own, so that a slow engine never holds up acknowledgements.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.engines import versions
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.guard import note
from queuedeck_agent.journal import Journal, unfinished

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent

log = logging.getLogger("queuedeck_agent")

WAITING_COMMANDS = 1_000


class Trust(msgspec.Struct, frozen=True):
    """What the commands of one connection are checked against."""

    nonce: bytes
    command_key: bytes
    command_cert: bytes


class Order(msgspec.Struct, frozen=True):
    """A command as it came, with the moment of its receipt."""

    command: wire.Command
    trust: Trust
    received: float


class Runner:
    """The commands of this process's link, one after the other."""

    def __init__(self, agent: "Agent", clock: Callable[[], float] = time.monotonic) -> None:
        self._agent = agent
        self._clock = clock
        self._orders: queue.Queue[Order | None] = queue.Queue(WAITING_COMMANDS)
        self._thread: threading.Thread | None = None
        self._journal: Journal | None = None

    def submit(self, command: wire.Command, trust: Trust) -> None:
        """Takes an order from the link's thread; never waits."""
        try:
            self._orders.put_nowait(Order(command, trust, self._clock()))
        except queue.Full:
            log.warning("Too many commands are waiting here; one was not taken.")
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="queuedeck-runner", daemon=True)
            self._thread.start()

    def tell_unfinished(self) -> None:
        """Reports commands of processes that died while they acted. Nothing is repeated."""
        folder = self._agent.spool.folder
        if folder is None:
            return
        for command_id, result in unfinished(folder):
            event = _decoded(result)
            self._agent.recorder.emit(event or _unknown(command_id))

    def stop(self) -> None:
        """Lets the running command end, takes no further one."""
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join(0.5)
            if self._thread.is_alive():
                return
        if self._journal is not None:
            self._journal.close()

    def abandon(self) -> None:
        """In a forked child: the journal is the parent's."""
        if self._journal is not None:
            self._journal.close()

    def carry_out(self, order: Order) -> None:
        """One order from verification to its recorded outcome."""
        try:
            body = _verified(order, self._agent)
        except CommandRefused as refusal:
            self._refuse_unverified(order, refusal)
            return
        try:
            journal = self._present_journal()
            if body.command_id in journal:
                log.warning("Command %s came twice; the second was ignored.", body.command_id)
                return
            self._check(body, order)
            journal.begin(body.command_id)
        except CommandRefused as refusal:
            self._agent.recorder.emit(_failed(body.command_id, refusal.code, refusal.message))
            return
        except OSError as error:
            why = f"The host could not write its journal ({error}), so nothing was done."
            self._agent.recorder.emit(_failed(body.command_id, "error", why))
            return
        self._finish(body.command_id, self._outcome(body))

    def _work(self) -> None:
        while True:
            order = self._orders.get()
            if order is None:
                return
            try:
                self.carry_out(order)
            except Exception as error:  # noqa: BLE001 - the thread must live on
                note("queuedeck_agent.runner", error)

    def _present_journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self._agent.spool.folder, self._agent.family)
        return self._journal

    def _check(self, body: wire.CommandBody, order: Order) -> None:
        if self._clock() - order.received >= body.ttl_s:
            raise CommandRefused(
                "expired", "The command came to its turn too late, so nothing was done."
            )
        self._agent.policy.check(body)

    def _outcome(self, body: wire.CommandBody) -> wire.Event:
        try:
            done = self._execute(body)
        except CommandRefused as refusal:
            return _failed(body.command_id, refusal.code, refusal.message)
        except Exception as error:  # noqa: BLE001 - whatever the engine raised is the answer
            why = f"{type(error).__name__}: {error}"[:500]
            return _failed(body.command_id, "error", f"The engine could not do it. {why}")
        log.info(
            "%s of task %s (%s), asked for by %s: %s",
            body.verb,
            body.task_id,
            body.task_name,
            body.actor or "the server",
            done.effect or "done",
        )
        return done

    def _execute(self, body: wire.CommandBody) -> wire.CommandDone:
        engine = self._agent.engine_of(body.source)
        if engine is None:
            raise CommandRefused(
                "unsupported", "This agent is not attached to the broker of that task."
            )
        if why := versions.objection(engine):
            raise CommandRefused("unsupported", why)
        call = b""
        if body.verb == "retry" or (body.verb == "edit" and body.sealed):
            call = self._agent.seals.open(
                self._agent.project, body.source, body.task_name, body.task_id, body.sealed
            )
        if body.verb == "cancel":
            self._agent.cancelled.add([(body.source, body.task_id)])
        return engine.execute(body, call)

    def _finish(self, command_id: str, outcome: wire.Event) -> None:
        with contextlib.suppress(OSError):
            self._present_journal().result(command_id, wire.encode(outcome))
        self._agent.recorder.emit(outcome)
        with contextlib.suppress(OSError):
            self._present_journal().end(command_id)

    def _refuse_unverified(self, order: Order, refusal: CommandRefused) -> None:
        log.warning("A command was refused: %s", refusal.message)
        try:
            body = wire.decode_command_body(order.command.body)
        except msgspec.DecodeError:
            return
        self._agent.recorder.emit(_failed(body.command_id, refusal.code, refusal.message))


def _verified(order: Order, agent: "Agent") -> wire.CommandBody:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    trust, command = order.trust, order.command
    try:
        root = Ed25519PublicKey.from_public_bytes(agent.config.dsn.root_key)
        root.verify(trust.command_cert, wire.COMMAND_KEY_CONTEXT + trust.command_key)
        key = Ed25519PublicKey.from_public_bytes(trust.command_key)
        key.verify(command.signature, wire.COMMAND_CONTEXT + command.body)
        body = wire.decode_command_body(command.body)
    except (InvalidSignature, ValueError, msgspec.DecodeError):
        raise CommandRefused(
            "invalid",
            "The command is not signed by the server that this host's DSN names. If the server "
            "was set up anew, make a new DSN.",
        ) from None
    if (body.agent_id, body.nonce, body.project) != (agent.family, trust.nonce, agent.project):
        raise CommandRefused(
            "invalid", "The command was made for another agent, connection or project."
        )
    return body


def _failed(command_id: str, code: str, message: str) -> wire.CommandFailed:
    return wire.CommandFailed(time.time_ns() // 1_000, command_id, code, message)


def _unknown(command_id: str) -> wire.CommandFailed:
    return _failed(
        command_id,
        "unknown",
        "The process stopped while it carried this out, so nobody knows whether it took effect. "
        "Nothing is repeated by itself: look at the task, then decide.",
    )


def _decoded(result: bytes) -> wire.Event | None:
    try:
        return wire.decode_event(result) if result else None
    except msgspec.DecodeError:
        return None
