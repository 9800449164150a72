# SPDX-License-Identifier: Apache-2.0
"""Hooks of sending: in producers, schedulers, and workers that send retries and more."""

import os
import socket
import time
from typing import Any, NamedTuple

from queuedeck_agent import capture, request, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.signatures import Signatures
from queuedeck_agent.engines.taskiq import call as taskiq_call
from queuedeck_agent.engines.taskiq import run as taskiq_run
from queuedeck_agent.engines.taskiq.run import Run, Stamp, attempt_of, number, stamp_of
from queuedeck_agent.engines.taskiq.source import queue_of

_MAX_PENDING = 256
"""Announced but not yet sent messages that are remembered; a failed send leaves one behind."""
_S = 1_000_000


class _Pending(NamedTuple):
    stamp: Stamp
    args: bytes
    sealed: bytes


class SendHooks:
    """`before` captures and stamps, `after` reports. For one broker."""

    def __init__(self, agent: Agent, broker: Any, source: str) -> None:
        self.agent = agent
        self.broker = broker
        self.source = source
        self.signatures = Signatures(lambda name: _function_of(broker, name))
        self._pending: dict[tuple[str, int], _Pending] = {}
        self._host = socket.gethostname()

    def before(self, message: Any) -> None:
        """Nothing is sent yet: the broker may still refuse. Labels are a copy of the caller's."""
        task_id: str = message.task_id
        attempt = attempt_of(message.labels)
        run = taskiq_run.current.get()
        if run is not None and run.task_id == task_id:
            if attempt > run.attempt:
                run.resent = True
            stamp = Stamp(c=int(run.captured), p=run.stamp.p, r=run.stamp.r, o=run.stamp.o)
        elif attempt > 1:
            stamp = stamp_of(message.labels)  # a retry that a scheduler sends when it is due
        else:
            stamp = _links(task_id, run)
        shown = sealed = b""
        if attempt == 1:
            shown, sealed = self.take(message)
        at_us = time.time_ns() // 1_000
        stamp = Stamp(at_us, int(bool(shown)) or stamp.c, stamp.p, stamp.r, stamp.o)
        taskiq_run.write_stamp(message.labels, stamp)
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)), None)
        self._pending[task_id, attempt] = _Pending(stamp, shown, sealed)

    def after(self, message: Any) -> None:
        """The broker has taken it."""
        labels: dict[str, Any] = message.labels
        task_id: str = message.task_id
        attempt = attempt_of(labels)
        found = self._pending.pop((task_id, attempt), None)
        if found is None:
            return
        stamp = found.stamp
        priority = labels.get("priority")
        route, user = request.context()
        self.agent.recorder.emit(
            wire.TaskPublished(
                stamp.at,
                self.source,
                task_id,
                attempt,
                message.task_name,
                queue_of(self.broker, labels),
                found.args,
                found.sealed,
                self._eta_us(stamp, labels),
                0,
                -1 if priority is None else number(priority),
                stamp.p,
                stamp.r or task_id,
                "",
                stamp.o,
                str(labels.get("schedule_id") or "")[:200],
                f"{os.getpid()}@{self._host}",
                route=route,
                user=user,
            )
        )

    def take(self, message: Any) -> tuple[bytes, bytes]:
        """(redacted JSON, sealed call); either may be empty."""
        agent = self.agent
        if not agent.config.capture_args:
            return b"", b""
        name: str = message.task_name
        shown = capture.arguments(message.args, message.kwargs, self.signatures.hidden(name))
        call = taskiq_call.pack(self.broker, message, shown.plain)
        task_id: str = message.task_id
        sealed = agent.seals.seal(agent.project, self.source, name, task_id, call) if call else b""
        if message.args and self.broker.find_task(name) is None:
            return b"", sealed  # which of them is a password, only a worker knows
        return shown.json, sealed

    def _eta_us(self, stamp: Stamp, labels: "dict[str, Any]") -> int:
        """Only RabbitMQ honours the label; brokers of Redis send at once, whatever it says."""
        if "delay" not in labels or "aio_pika" not in type(self.broker).__module__:
            return 0
        try:
            return stamp.at + int(float(labels["delay"]) * _S)
        except (TypeError, ValueError):
            return 0


def _links(task_id: str, run: Run | None) -> Stamp:
    """taskiq itself knows neither parents nor groups."""
    retried = taskiq_run.retry_of.get()
    if run is None or run.task_id == task_id:
        return Stamp(o=retried)
    return Stamp(p=run.task_id, r=run.root_id, o=retried)


def _function_of(broker: Any, name: str) -> Any:
    task = broker.find_task(name)
    return None if task is None else task.original_func
