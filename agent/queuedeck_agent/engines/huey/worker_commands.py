# SPDX-License-Identifier: Apache-2.0
"""Verbs of a consumer: drain, undrain, restart."""

import os
import signal
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import done
from queuedeck_agent.engines.huey.gate import Gate
from queuedeck_agent.engines.huey.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused


class WorkerCommands:
    """For the consumer of this process; in its main process, which has the link."""

    def __init__(self, tasks: TaskHooks, gate: Gate) -> None:
        self.tasks = tasks
        self.gate = gate

    def drain(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Nothing more is taken from the queue."""
        self._must_be_own(command)
        self.gate.is_drained = True
        seen = self.gate.wait_until_seen()
        effect = f"{self.tasks.worker} takes nothing more until it is told or restarts; what it "
        effect += "runs goes on, and what is due is still put into the queue."
        return done(command, effect, verified=seen)

    def undrain(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """A queue that is paused stays so."""
        self._must_be_own(command)
        if not self.gate.is_drained:
            return done(command, f"{self.tasks.worker} was not drained; nothing changed.")
        self.gate.is_drained = False
        return done(command, f"{self.tasks.worker} takes from its queue again.")

    def restart(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Asks the consumer to start itself anew, as an operator would on the command line."""
        self._must_be_own(command)
        self.gate.is_drained = True
        self.gate.wait_until_seen()
        os.kill(os.getpid(), signal.SIGHUP)
        effect = f"Asked {self.tasks.worker} to restart: its workers end what they run, then it "
        effect += "starts itself anew."
        return done(command, effect, verified=False)

    def _must_be_own(self, command: wire.CommandBody) -> None:
        wanted = command.details.worker
        if wanted and wanted != self.tasks.worker:
            raise CommandRefused(
                "unsupported",
                f"The command went to another worker: this one is {self.tasks.worker}.",
            )


def listens(consumer: Any) -> bool:
    """Whether the consumer has its handler of SIGHUP, with which it restarts. Elsewhere the signal
    would end the process."""
    if consumer is None or not hasattr(signal, "SIGHUP"):
        return False
    return getattr(signal.getsignal(signal.SIGHUP), "__self__", None) is consumer
