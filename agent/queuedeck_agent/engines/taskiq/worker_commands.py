# SPDX-License-Identifier: Apache-2.0
"""Verbs of this worker process; taskiq's manager has several of them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import Action, done
from queuedeck_agent.engines.taskiq.line import Line
from queuedeck_agent.errors import CommandRefused

BEFORE_END_S = 0.5
"""For the answer to reach the spool."""


class WorkerCommands:
    """On the thread of the agent's runner."""

    def __init__(self, name: str, lines: Callable[[], "Iterable[Line]"]) -> None:
        self.name = name
        self.lines = lines
        self.actions: Mapping[str, Action] = {
            "drain": self.drain,
            "undrain": self.undrain,
            "restart": self.restart,
        }

    def drain(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The same gate as that of a pause, for this process alone."""
        self._check_is_me(command)
        lines = self._listening()
        is_still = self._close(lines)
        running = sum(len(one.tasks.running) for one in lines)
        return done(
            command,
            "This process takes nothing more until it is undrained or restarts. What it has taken "
            f"already it runs; {running} run now.",
            verified=is_still,
        )

    def undrain(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """A queue that is paused stays so."""
        self._check_is_me(command)
        gates = [one.gate for one in self._listening() if one.gate is not None]
        if not any(gate.drained for gate in gates):
            return done(command, "This process was not drained.")
        for gate in gates:
            gate.drained = False
        return done(command, "This process takes messages again, unless its queue is paused.")

    def restart(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """As the manager itself does when it reloads: SIGTERM, then another process."""
        self._check_is_me(command)
        self._close(self._listening())  # what is sent now is for the next process
        end = threading.Timer(BEFORE_END_S, os.kill, (os.getpid(), signal.SIGTERM))
        end.daemon = True
        end.start()
        return done(
            command,
            "Asked this process to end when its tasks have ended; taskiq's manager starts another "
            "in its place within seconds, under a new name.",
            verified=False,
        )

    def _close(self, lines: "list[Line]") -> bool:
        for line in lines:
            if line.gate is not None:
                line.gate.drained = True
        closed = [line.closes() for line in lines if line.gate is not None]
        return all(closed)

    def _listening(self) -> "list[Line]":
        return [one for one in self.lines() if one.role == "worker"]

    def _check_is_me(self, command: wire.CommandBody) -> None:
        wanted = command.details.worker
        if wanted not in ("", self.name):
            raise CommandRefused(
                "error", f"The command went to another worker: `{wanted}` is not this process."
            )


def is_managed() -> bool:
    """Whether this is a process of `taskiq worker`, which replaces those that end."""
    process = multiprocessing.current_process()
    has_parent = multiprocessing.parent_process() is not None
    return has_parent and process.name.startswith("worker-")
