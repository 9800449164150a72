# SPDX-License-Identifier: Apache-2.0
"""Pool size, rate limits, drain and restart of a worker. The first two by Celery's remote control,
so they reach any worker; the others only the process that was asked.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery.gate import Gate
from queuedeck_agent.engines.celery.queue_commands import POLL_S
from queuedeck_agent.engines.celery.queues import kind_of, own_connection
from queuedeck_agent.engines.commands import done, stays, within
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.guard import contained

ANSWER_S = 3.0
VERIFY_S = 5.0
RESTART_AFTER_S = 0.5
"""So that the answer is on the disk before the process goes."""
RESTART_HANDLER = "restart_worker_sig_handler"


class WorkerCommands:
    """What is done to a worker, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, app: Any, controller: Any, gate: Gate | None) -> None:
        self.agent = agent
        self.app = app
        self.controller = controller
        self.gate = gate

    def pool(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """More processes, or fewer: Celery takes away only those that are idle."""
        worker, amount = self._worker(command), command.details.amount
        before = self._slots(worker)
        if amount == 0 or before + amount < 1:
            raise CommandRefused(
                "invalid", f"Worker {worker} has {before} processes, and needs one at least."
            )
        control = self.app.control
        self._ask(worker, control.pool_grow if amount > 0 else control.pool_shrink, abs(amount))
        wanted = before + amount
        reached = within(lambda: self._slots(worker) == wanted, VERIFY_S)
        self.agent.refresh_hello()
        effect = f"Worker {worker} has {wanted} processes now, until it restarts."
        if not reached:
            effect = f"Worker {worker} was asked for {wanted} processes; it has not got there yet."
        return done(command, effect, verified=reached, affected=abs(amount))

    def rate(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """How often tasks of a name may start on that worker."""
        worker, rate = self._worker(command), command.details.rate
        name = command.task_name
        held = self._held_back(worker, name)
        self._ask(worker, self.app.control.rate_limit, name, rate or 0)
        what = f"at most {rate}" if rate else "without a limit"
        effect = f"Worker {worker} starts `{name}` {what}, until it restarts."
        if held is None:
            return done(command, f"{effect} Tasks that it holds back already keep their times.")
        self.controller.consumer.call_soon(_weigh_anew, self.controller.consumer, name, held)
        return done(command, effect)

    def drain(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Takes nothing more. What it has taken already runs."""
        gate = self._own_gate(command)
        gate.drained = True
        gate.look_now()
        stopped = within(lambda: not gate.open, VERIFY_S)
        if stopped and kind_of(self.app) == "redis":
            stays(lambda: True, POLL_S)
        return done(
            command,
            "This worker takes nothing more. What it has taken already, tasks for later among it, "
            "still runs. A restart ends this.",
            verified=stopped,
        )

    def undrain(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Takes again, but not from queues that are paused."""
        gate = self._own_gate(command)
        if not gate.drained:
            return done(command, "This worker was not drained. Nothing was changed.")
        gate.drained = False
        gate.look_now()
        paused = self.agent.paused.queues(gate.source)
        again = within(lambda: not gate.held - paused, VERIFY_S)
        still = ", ".join(sorted(gate.held & paused))
        effect = "This worker takes tasks again" + (f", but not from {still}." if still else ".")
        return done(command, effect, verified=again)

    def restart(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Celery's own way: it ends what runs, then begins anew in the same process."""
        self._own_gate(command)
        if refusal := restart_refusal():
            raise CommandRefused("unsupported", refusal)
        timer = threading.Timer(RESTART_AFTER_S, os.kill, (os.getpid(), signal.SIGHUP))
        timer.daemon = True
        timer.start()
        return done(
            command,
            "Told the worker to restart: it ends what runs, puts back what waits in it, and starts "
            "again with the same command.",
            verified=False,
        )

    def _worker(self, command: wire.CommandBody) -> str:
        worker = command.details.worker
        if not worker and self.controller is not None:
            return str(self.controller.hostname)
        if not worker:
            raise CommandRefused("invalid", "Name the worker.")
        return worker

    def _own_gate(self, command: wire.CommandBody) -> Gate:
        name = str(self.controller.hostname) if self.controller is not None else ""
        if self.gate is None or self._worker(command) != name:
            raise CommandRefused(
                "invalid",
                f"The command went to another worker: this one is {name or 'no worker'}, not "
                f"{command.details.worker}. Nothing was done.",
            )
        return self.gate

    def _held_back(self, worker: str, name: str) -> Any:
        """The bucket in which this worker keeps tasks for later, before it is replaced."""
        consumer = getattr(self.controller, "consumer", None)
        if consumer is None or worker != str(self.controller.hostname):
            return None
        return getattr(consumer, "task_buckets", {}).get(name)

    def _slots(self, worker: str) -> int:
        controller = self.controller
        if _is_green(controller) and worker == str(controller.hostname):
            return slots_of(controller)  # its statistics name what it began with
        with own_connection(self.app) as connection:
            asked = self.app.control.inspect([worker], timeout=ANSWER_S, connection=connection)
            found = asked.stats() or {}
        pool = (found.get(worker) or {}).get("pool")
        if not pool:
            raise CommandRefused("error", _silent(worker))
        processes = pool.get("processes")
        return len(processes) if isinstance(processes, list) else int(pool["max-concurrency"])

    def _ask(self, worker: str, order: Any, *what: Any) -> None:
        """Raises unless the worker says that it did so."""
        with own_connection(self.app) as connection:
            to = {"destination": [worker], "connection": connection}
            replies = order(*what, **to, reply=True, timeout=ANSWER_S)
        said = [one[worker] for one in replies or [] if worker in one]
        if not said:
            raise CommandRefused("error", _silent(worker))
        if "error" in said[0]:
            raise CommandRefused("unsupported", f"Worker {worker} refused: {said[0]['error']}.")


def slots_of(controller: Any) -> int:
    """Of the pool, when it runs: it may have grown since. One of greenlets calls those that run
    now its processes."""
    pool = getattr(controller, "pool", None)
    found = getattr(pool, "num_processes", None)
    if _is_green(controller):
        found = getattr(getattr(pool, "_pool", None), "size", None)
    return found if isinstance(found, int) else int(controller.concurrency or 0)


def _is_green(controller: Any) -> bool:
    return bool(getattr(getattr(controller, "pool", None), "is_green", False))


@contained
def _weigh_anew(consumer: Any, name: str, held: Any) -> None:
    """Tasks that were held back by the old limit go by the new one, or start: Celery leaves them
    to the times that the old one gave them, and they take the worker's slots meanwhile."""
    bucket = consumer.task_buckets.get(name)
    waiting = list(held.contents) if bucket is not held else []
    if not waiting or not hasattr(consumer, "_limit_move_to_pool"):
        return
    held.clear_pending()
    for request, tokens in waiting:
        if bucket is None:
            consumer._limit_move_to_pool(request)
        else:
            consumer._limit_task(request, bucket, tokens)


def restart_refusal() -> str:
    """Why this process would not start again by itself; or nothing. Asked where the worker runs."""
    handler = signal.getsignal(signal.SIGHUP) if hasattr(signal, "SIGHUP") else None
    if getattr(handler, "__name__", "") != RESTART_HANDLER:
        return (
            "Celery restarts a worker on SIGHUP only where it has no terminal. Stop it there and "
            "start it again."
        )
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name == "__main__.py" or not program.is_file():
        return (
            "Celery's own restart runs its command again, and fails for one like `python -m "
            "celery`: the worker would stay away. Start it by the `celery` program, or restart it "
            "where it runs."
        )
    return ""


def _silent(worker: str) -> str:
    return (
        f"Worker {worker} did not answer within {ANSWER_S:g} s: it is not there, busy with a task "
        "in a solo pool, or its remote control is switched off."
    )
