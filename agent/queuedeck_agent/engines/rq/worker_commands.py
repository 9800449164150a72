# SPDX-License-Identifier: Apache-2.0
"""Commands about this worker: to stop taking jobs, and, in a worker pool, to be replaced."""

import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import Action, done
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine
    from queuedeck_agent.engines.rq.gate import Gate

REST_S = 0.5
"""Between the answer and the end of the worker, so that the answer is on the disk by then."""


def is_pooled() -> bool:
    """Whether a `WorkerPool` has started this process, which starts another when it ends."""
    return "(WorkerPool " in multiprocessing.current_process().name


class WorkerCommands:
    """On the thread of the agent's runner."""

    def __init__(self, agent: Agent, engine: "RqEngine") -> None:
        self.agent = agent
        self.engine = engine

    @property
    def actions(self) -> dict[str, Action]:
        """By verb."""
        return {"drain": self.drain, "undrain": self.undrain, "restart": self.restart}

    def drain(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Takes nothing more; not kept over a restart."""
        gate = self._gate_of(command)
        gate.drained = True
        name = self.engine.worker.name
        return done(
            command,
            f"{name} takes no further jobs until it is told to, or restarts; what runs goes on. A "
            "job that it takes while it still waits at a queue goes back to the front."
            + self.engine.doubt,
            verified=not self.engine.doubt,
        )

    def undrain(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Takes again; a paused queue stays paused."""
        gate = self._gate_of(command)
        was_drained, gate.drained = gate.drained, False
        name = self.engine.worker.name
        effect = f"{name} takes jobs again, within a second."
        return done(command, effect if was_drained else f"{name} was not drained.")

    def restart(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Ends it warmly, after its job; the pool starts another one."""
        gate = self._gate_of(command)
        if gate.in_burst:
            raise CommandRefused(
                "unsupported", "The pool runs in burst mode and would not start another worker."
            )
        timer = threading.Timer(REST_S, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()
        return done(
            command,
            f"{self.engine.worker.name} ends when its job is done; its pool then starts another "
            "worker, under a new name.",
            verified=False,
        )

    def _gate_of(self, command: wire.CommandBody) -> "Gate":
        engine, named = self.engine, command.details.worker
        if engine.gate is None or named not in ("", engine.worker.name):
            raise CommandRefused(
                "invalid",
                f"The command went to another worker: this one is {engine.worker.name}, not "
                f"{named}. RQ passes no such command on.",
            )
        return engine.gate
