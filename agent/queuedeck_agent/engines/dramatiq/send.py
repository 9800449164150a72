# SPDX-License-Identifier: Apache-2.0
"""Hooks of sending: in producers, and in workers that send retries, pipelines and more tasks."""

import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from queuedeck_agent import capture, request, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.dramatiq import call as dramatiq_call
from queuedeck_agent.engines.dramatiq import run as dramatiq_run
from queuedeck_agent.engines.dramatiq.call import STAMP
from queuedeck_agent.engines.dramatiq.run import Run, attempt_of, eta_us, queue_of, stamp_of
from queuedeck_agent.engines.patches import Patches
from queuedeck_agent.engines.signatures import Signatures

_MAX_PENDING = 256
"""Announced but not yet sent messages that are remembered; a failed send leaves one behind."""
_MAX_HELD = 100_000
"""Delayed messages in this worker's memory that are remembered: dramatiq holds 65,535 at most."""


class _Pending(NamedTuple):
    stamp: "dict[str, Any]"
    args: bytes
    sealed: bytes


class SendHooks:
    """`before` captures and stamps, `after` reports. For one broker."""

    def __init__(self, agent: Agent, broker: Any, source: str) -> None:
        self.agent = agent
        self.broker = broker
        self.source = source
        self.held: dict[str, None] = {}
        """Delayed messages that this worker has taken, and will send on when they are due."""
        self.signatures = Signatures(lambda name: _function_of(broker, name))
        self._pending: dict[str, _Pending] = {}
        self._host = socket.gethostname()

    def before(self, message: Any) -> None:
        """Nothing is sent yet: the broker may still refuse."""
        task_id: str = message.message_id
        options: dict[str, Any] = message.options
        if task_id in self.held and "eta" not in options:
            del self.held[task_id]  # the worker moves a delayed message to its real queue
            options[STAMP] = {**stamp_of(options), "d": time.time_ns() // 1_000}
            return
        at_us = time.time_ns() // 1_000
        attempt = attempt_of(options)
        run = dramatiq_run.current.get()
        if run is not None and run.task_id == task_id:
            stamp = _again(run, attempt, options)
        elif attempt > 1:
            stamp = dict(stamp_of(options))  # a dead letter that somebody sends once more
        else:
            stamp = _links(task_id, run, options)
        shown = sealed = b""
        if attempt == 1:
            shown, sealed = self.take(message)
            if shown:
                stamp["c"] = 1
        stamp["at"] = at_us
        options[STAMP] = stamp
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)), None)
        self._pending[task_id] = _Pending(stamp, shown, sealed)

    def after(self, message: Any) -> None:
        """The broker has taken it."""
        task_id: str = message.message_id
        found = self._pending.pop(task_id, None)
        if found is None:
            return
        options: dict[str, Any] = message.options
        stamp = found.stamp
        route, user = request.context()
        self.agent.recorder.emit(
            wire.TaskPublished(
                stamp["at"],
                self.source,
                task_id,
                attempt_of(options),
                message.actor_name,
                queue_of(message),
                found.args,
                found.sealed,
                eta_us(options),
                self.expires_us(message),
                self._priority(message),
                stamp.get("p") or "",
                stamp.get("r") or task_id,
                stamp.get("g") or "",
                stamp.get("o") or "",
                "",
                f"{os.getpid()}@{self._host}",
                "",
                "",
                _callback_id(options),
                route,
                user,
            )
        )

    def hold(self, message: Any) -> None:
        """A delayed message is in this worker's memory now."""
        if len(self.held) >= _MAX_HELD:
            self.held.pop(next(iter(self.held)), None)
        self.held[message.message_id] = None

    def take(self, message: Any) -> tuple[bytes, bytes]:
        """(redacted JSON, sealed call); either may be empty."""
        agent = self.agent
        if not agent.config.capture_args:
            return b"", b""
        name: str = message.actor_name
        shown = capture.arguments(message.args, message.kwargs, self.signatures.hidden(name))
        call = dramatiq_call.pack(message, shown.plain)
        task_id: str = message.message_id
        sealed = agent.seals.seal(agent.project, self.source, name, task_id, call) if call else b""
        if message.args and name not in self.broker.actors:
            return b"", sealed  # which of them is a password, only a worker knows
        return shown.json, sealed

    def expires_us(self, message: Any) -> int:
        """When AgeLimit will throw it away instead of running it; 0 for never."""
        age = message.options.get("max_age")
        actor = self.broker.actors.get(message.actor_name)
        if not age and actor is not None:
            age = actor.options.get("max_age")
        if not age:
            limits = (vars(one).get("max_age") for one in self.broker.middleware)
            age = next((limit for limit in limits if limit), 0)
        known = isinstance(age, (int, float)) and age != float("inf")
        return int((message.message_timestamp + age) * 1_000) if known and age else 0

    def _priority(self, message: Any) -> int:
        """RabbitMQ's of the message, else the actor's own unless it is the default."""
        priority = message.options.get("broker_priority")
        actor = self.broker.actors.get(message.actor_name)
        if priority is None and actor is not None:
            priority = actor.priority or None
        return priority if isinstance(priority, int) and priority >= 0 else -1


def _again(run: Run, attempt: int, options: "dict[str, Any]") -> "dict[str, Any]":
    """The message that runs now is sent again: by the Retries middleware, or by the actor."""
    if attempt > run.attempt:
        run.retried = True
        run.next_us = eta_us(options)
    stamp = {key: one for key, one in run.stamp.items() if key in ("p", "r", "g", "c", "o")}
    if run.captured:
        stamp["c"] = 1
    return stamp


def _links(task_id: str, run: Run | None, options: "dict[str, Any]") -> "dict[str, Any]":
    """Parent, root and group of a message that is new. Dramatiq itself knows only groups with
    callbacks."""
    stamp: dict[str, Any] = {}
    if run is not None and run.task_id != task_id:
        stamp["p"] = run.task_id
        stamp["r"] = run.root_id
    group = options.get("group_completion_uuid") or dramatiq_run.group.get()
    if group:
        stamp["g"] = str(group)
    retried = dramatiq_run.retry_of.get()
    if retried:
        stamp["o"] = retried
    return stamp


def _callback_id(options: "dict[str, Any]") -> str:
    callbacks = options.get("group_completion_callbacks")
    first = callbacks[0] if isinstance(callbacks, list) and callbacks else None
    return str(first.get("message_id") or "") if isinstance(first, dict) else ""


def _function_of(broker: Any, name: str) -> Any:
    actor = broker.actors.get(name)
    return None if actor is None else actor.fn


def follow_groups(patches: Patches) -> None:
    """Gives each group an id while it is sent.

    A patch of `dramatiq.composition.group.run`, there since Dramatiq 1.0: the messages of a group
    without callbacks carry nothing that says so.
    """
    from dramatiq.composition import group

    patches.wrap(group, "run", _named)


def _named(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, *args: Any, **named: Any) -> Any:
        token = dramatiq_run.group.set(str(uuid.uuid4()))
        try:
            return original(self, *args, **named)
        finally:
            dramatiq_run.group.reset(token)

    return run
