# SPDX-License-Identifier: Apache-2.0
"""Carries out commands: verify, ask the host's policy, journal, act, record the outcome.

On a thread of its own, so that a slow engine never holds up acknowledgements. The server may be
stolen, and hold every key that a server has: nothing here relies on its good will.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.engines import versions
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.guard import note
from queuedeck_agent.journal import Journal, unfinished
from queuedeck_agent.outcomes import (
    LARGEST_OUTCOME_BYTES,
    decoded,
    failed,
    one_line,
    said,
    shortened,
    unknown,
)
from queuedeck_agent.trust import Trust, Verifier, is_command_id

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent
    from queuedeck_agent.engines.base import Engine

log = logging.getLogger("queuedeck_agent")

WAITING_COMMANDS = 1_000
WAITING_BYTES = 8 << 20
MOST_COMMANDS = 20_000
"""Of one connection; then another one is made, whose nonce no old command has."""
REMEMBERED = MOST_COMMANDS + WAITING_COMMANDS
"""Ids kept against replay. Those of the present connection are always among them."""
LOGGED_A_MINUTE = 20
"""Refusals in the host's log; what a server sends must not fill it."""
STOP_S = 0.5
_FULL = (
    "Too many commands wait for their turn here already, so nothing was done. Try again in a "
    "minute."
)
_STOPPING = "The worker stopped before the command's turn came, so nothing was done."
_BY_ID = frozenset(("cancel", "terminate", "priority", "move"))
"""These touch whatever has the id. What runs something is bound to its name by the seal."""


class Order(msgspec.Struct, frozen=True):
    """A command as it came, with the moment of its receipt."""

    command: wire.Command
    trust: Trust
    received: float

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about."""
        return len(self.command.body) + len(self.command.signature)


class Runner:
    """The commands of this process's link, one after the other."""

    def __init__(self, agent: "Agent", clock: Callable[[], float] = time.monotonic) -> None:
        self._agent = agent
        self._clock = clock
        self._verifier = Verifier(agent)
        self._changed = threading.Condition()
        self._orders: deque[Order] = deque()
        self._orders_bytes = 0
        self._is_stopping = False
        self._known: dict[bytes, bytes] = {}
        """Ids that were answered, or are being carried out, oldest first, each with the nonce of
        the connection that it first came on."""
        self._thread: threading.Thread | None = None
        self.journal: Journal | None = None
        self._logged: deque[float] = deque()

    def submit(self, command: wire.Command, trust: Trust) -> None:
        """Takes an order from the link's thread; never waits."""
        order = Order(command, trust, self._clock())
        with self._changed:
            taken = not self._is_stopping and self._has_room(order)
            if taken:
                self._orders.append(order)
                self._orders_bytes += order.size
                self._changed.notify()
        if not taken:
            self._turn_away(order, "rate", _STOPPING if self._is_stopping else _FULL)
        elif self._thread is None:
            self._thread = threading.Thread(target=self._work, name="queuedeck-runner", daemon=True)
            self._thread.start()

    def tell_unfinished(self) -> None:
        """Reports commands of processes that died while they acted. Nothing is repeated."""
        folder = self._agent.spool.folder
        if folder is None:
            return
        for command_id, result in unfinished(folder):
            event = decoded(result)
            self._agent.recorder.emit(event or unknown(command_id))

    def stop(self) -> None:
        """Lets the running command end, takes no further one and says so of those that wait."""
        with self._changed:
            self._is_stopping = True
            waiting = list(self._orders)
            self._orders.clear()
            self._changed.notify()
        for order in waiting:
            self._turn_away(order, "rate", _STOPPING)
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                return
        if self.journal is not None:
            self.journal.close()

    def carry_out(self, order: Order) -> None:
        """One order from verification to its recorded outcome."""
        try:
            body = self._verifier.verified(order.command, order.trust)
        except CommandRefused as refusal:
            self._complain(f"A command was refused: {refusal.message}")
            self._turn_away(order, refusal.code, refusal.message)
            return
        if not self._is_first(body.command_id, order.trust):
            # On a new connection that is how a server asks for an answer that it may have missed.
            if self._nonce_of(body.command_id) == order.trust.nonce:
                self._complain(f"Command {body.command_id} came twice; the second was ignored.")
            return
        try:
            self._check(body, order)
            self._present_journal().begin(body.command_id)
        except CommandRefused as refusal:
            self._complain(f"{said(body)}: refused. {one_line(refusal.message)}")
            self._agent.recorder.emit(failed(body.command_id, refusal.code, refusal.message))
            return
        except OSError as error:
            why = f"The host could not write its journal ({error}), so nothing was done."
            self._complain(f"{said(body)}: refused. {why}")
            self._agent.recorder.emit(failed(body.command_id, "error", why))
            return
        self._finish(body.command_id, self._outcome(body))

    def _has_room(self, order: Order) -> bool:
        fits = self._orders_bytes + order.size <= WAITING_BYTES
        return fits and len(self._orders) < WAITING_COMMANDS

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._orders or self._is_stopping)
                if not self._orders:
                    return
                order = self._orders.popleft()
                self._orders_bytes -= order.size
            try:
                self.carry_out(order)
            except Exception as error:  # noqa: BLE001 - the thread must live on
                note("queuedeck_agent.runner", error)

    def _is_first(self, command_id: str, trust: Trust) -> bool:
        key = bytes.fromhex(command_id)
        with self._changed:
            if key in self._known:
                return False
            self._known[key] = trust.nonce
            if len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return True

    def _nonce_of(self, command_id: str) -> bytes:
        with self._changed:
            return self._known.get(bytes.fromhex(command_id), b"")

    def _present_journal(self) -> Journal:
        if self.journal is None:
            self.journal = Journal(self._agent.spool.folder, self._agent.family)
        return self.journal

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
            return failed(body.command_id, refusal.code, refusal.message)
        except BaseException as error:  # noqa: BLE001 - whatever the engine raised is the answer
            why = f"{type(error).__name__}: {error}"[:500]
            return failed(body.command_id, "error", f"The engine could not do it. {why}")
        log.info("%s: %s", said(body), one_line(done.effect) or "done")
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
        if body.verb in _BY_ID and not self._agent.policy.allows_all_tasks:
            self._check_name(engine, body)
        if body.verb == "cancel":
            self._agent.cancelled.add([(body.source, body.task_id)])
        return engine.execute(body, call)

    def _check_name(self, engine: "Engine", body: wire.CommandBody) -> None:
        """Where only some tasks are allowed, the broker's word counts: a command may lie about the
        name of an id."""
        name = engine.name_of(body)
        if not name:
            raise CommandRefused(
                "refused",
                "This host allows commands only on some tasks, and no queue or worker that can be "
                "asked here says which task this is. Nothing was done.",
            )
        self._agent.policy.check_task(name)

    def _finish(self, command_id: str, outcome: wire.Event) -> None:
        encoded = wire.encode(outcome)
        if len(encoded) > LARGEST_OUTCOME_BYTES:
            outcome = shortened(outcome)
            encoded = wire.encode(outcome)
        with contextlib.suppress(OSError):
            self._present_journal().result(command_id, encoded)
        self._agent.recorder.emit(outcome)
        with contextlib.suppress(OSError):
            self._present_journal().end(command_id)

    def _turn_away(self, order: Order, code: str, message: str) -> None:
        """Nothing was done, and nothing will be if the same command comes to its turn later. No
        answer for one that was carried out already, has no proper id, or is another agent's: that
        agent answers, and may have done it."""
        with contextlib.suppress(msgspec.DecodeError):
            body = wire.decode_command_body(order.command.body)
            is_ours = body.agent_id == self._agent.family and is_command_id(body.command_id)
            if is_ours and self._is_first(body.command_id, order.trust):
                self._agent.recorder.emit(failed(body.command_id, code, message))

    def _complain(self, text: str) -> None:
        """Into the host's log, so many times a minute at most."""
        now = self._clock()
        while self._logged and now - self._logged[0] >= 60.0:
            self._logged.popleft()
        if len(self._logged) < LOGGED_A_MINUTE:
            self._logged.append(now)
            last = len(self._logged) == LOGGED_A_MINUTE
            more = " Further ones of this minute are not logged." if last else ""
            log.warning("%s%s", text, more)
