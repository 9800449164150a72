# SPDX-License-Identifier: Apache-2.0
"""Verbs of a worker process: pool, drain, undrain, restart."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from queuedeck_agent import system, wire
from queuedeck_agent.engines.commands import done, within
from queuedeck_agent.engines.dramatiq.gate import Gate
from queuedeck_agent.errors import CommandRefused

MOST_THREADS = 256
START_S = 2.0
"""So long a new thread takes to begin, at most: one that has not begun cannot be stopped."""
SIGNAL_S = 2.0
"""So long it takes until a signal has come from the command to its processes, at most."""
_NOBODY = "This worker was not started by the `dramatiq` command: nobody would start it again."
_OTHER_PYTHON = (
    "Started as `python -m dramatiq`, Dramatiq starts itself again with the `python` of PATH, "
    "which is not the one that runs here: the worker would not come back."
)


class WorkerCommands:
    """For the worker of this process; it has one at most."""

    def __init__(self, gate: Gate, name: str, folder: Path | None) -> None:
        self.gate = gate
        self.name = name
        self.folder = folder

    def pool(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Adds threads, or lets some end after their message."""
        worker = self._own(command)
        amount = command.details.amount
        before, after = worker.worker_threads, worker.worker_threads + amount
        if not amount or not 1 <= after <= MOST_THREADS:
            raise CommandRefused(
                "invalid",
                f"This worker has {before} threads; it can have 1 to {MOST_THREADS} of them.",
            )
        going = self._shrink(worker, -amount) if amount < 0 else self._grow(worker, amount)
        self._take_in_advance(worker, before, after)
        ended = within(lambda: not any(one.is_alive() for one in going), 2.0)
        worker.workers[:] = [one for one in worker.workers if one not in going or one.is_alive()]
        effect = f"{self.name} has {after} threads instead of {before}, until it restarts."
        if not ended:
            effect += " Some of those that leave still run a message and end with it."
        return done(command, effect, verified=ended, affected=abs(amount))

    def drain(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """No queue is taken from any more."""
        self._own(command)
        self.gate.drained = True
        is_shut = self.gate.wait_until(True)
        effect = f"{self.name} takes nothing more; what it runs goes on. What it had fetched and "
        effect += f"not started went back to its queues ({self.gate.put_back()} messages); delayed "
        effect += "messages that it holds still go there when they are due. Other worker processes "
        effect += "are not affected."
        return done(command, effect, verified=is_shut)

    def undrain(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Queues that are paused stay so."""
        worker = self._own(command)
        if not self.gate.drained:
            return done(command, f"{self.name} was not drained; nothing changed.")
        self.gate.drained = False
        waits = [name for name in worker.consumers if not self.gate.should_be_shut(name)]
        is_open = within(
            lambda: not any(self.gate.is_shut(one) for one in waits), self.gate.patience_s
        )
        return done(command, f"{self.name} takes from its queues again.", verified=is_open)

    def restart(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Asks the command line to start itself anew. A second signal would kill what runs."""
        self._own(command)
        command_line = multiprocessing.parent_process()
        if command_line is None or command_line.pid is None:
            raise CommandRefused("unsupported", "The `dramatiq` command is not there any more.")
        with self._alone():
            if is_stopping():
                effect = "This worker stops already; nothing was done."
                return done(command, effect, verified=False)
            self.gate.drained = True
            self.gate.wait_until(True)
            os.kill(command_line.pid, signal.SIGHUP)
            within(is_stopping, SIGNAL_S)
        effect = f"Asked the `dramatiq` command (pid {command_line.pid}) to restart: all its "
        effect += "worker processes end what they run, then it starts them anew."
        return done(command, effect, verified=False)

    def _alone(self) -> "contextlib.AbstractContextManager[Any]":
        """The processes of one command get the command one after the other."""
        folder = self.folder
        return system.locked(folder / "restart.lock") if folder else contextlib.nullcontext()

    def _own(self, command: wire.CommandBody) -> Any:
        wanted = command.details.worker
        if self.gate.worker is None or (wanted and wanted != self.name):
            raise CommandRefused(
                "unsupported", f"The command went to another worker: this one is {self.name}."
            )
        return self.gate.worker

    def _grow(self, worker: Any, amount: int) -> "list[Any]":
        for _ in range(amount):
            worker._add_worker()
        within(lambda: all(one.running for one in worker.workers), START_S)
        return []

    def _shrink(self, worker: Any, amount: int) -> "list[Any]":
        """They look after each message whether they should go on."""
        going = [one for one in worker.workers if one.running][-amount:]
        for thread in going:
            thread.stop()
        return going

    def _take_in_advance(self, worker: Any, before: int, after: int) -> None:
        """Twice the threads, unless the application wants another number. Consumers hear of it
        when they are shut and opened again."""
        worker.worker_threads = after
        if worker.queue_prefetch != 2 * before:
            return
        worker.queue_prefetch = 2 * after
        for name, consumer in list(worker.consumers.items()):
            if not name.endswith(".DQ"):
                consumer.prefetch = worker.queue_prefetch  # for when it connects again
        if not self.gate.drained:
            self.gate.drained = True
            self.gate.wait_until(True)
            self.gate.drained = False


def no_restart(is_of_command: bool) -> str:
    """Why the `dramatiq` command would not start this process again; empty if it would.

    Read from the arguments of the command, which its processes have as well.
    """
    if not is_of_command or multiprocessing.parent_process() is None or not sys.argv:
        return _NOBODY
    if not sys.argv[0].endswith("/dramatiq/__main__.py"):
        return "" if os.access(sys.argv[0], os.X_OK) else _NOBODY
    found = shutil.which("python")
    same = found is not None and Path(found).parent == Path(sys.executable).parent
    return "" if same else _OTHER_PYTHON


def is_stopping() -> bool:
    """Whether the `dramatiq` command has told this process to stop. Only the handler of the signal
    knows: it has the loop's own variable `running`, since Dramatiq 1.0."""
    handler: Any = signal.getsignal(signal.SIGHUP)
    code = getattr(handler, "__code__", None)
    cells = getattr(handler, "__closure__", None) or ()
    names = getattr(code, "co_freevars", ())
    return any(n == "running" and not c.cell_contents for n, c in zip(names, cells, strict=False))
