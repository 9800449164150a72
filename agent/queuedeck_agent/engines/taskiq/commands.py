# SPDX-License-Identifier: Apache-2.0
"""Verbs of a task, carried out on the application's own event loop and connections."""

import asyncio
import difflib
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from queuedeck_agent import edit, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.commands import Action, done, reconciled, within
from queuedeck_agent.engines.taskiq import call as taskiq_call
from queuedeck_agent.engines.taskiq import redis as taskiq_redis
from queuedeck_agent.engines.taskiq import run as taskiq_run
from queuedeck_agent.engines.taskiq.line import Line
from queuedeck_agent.errors import CommandRefused

MAX_LOOKED_AT = 20_000
"""Messages of one queue that are looked through; beyond it the task is only remembered."""
VERIFY_S = 3.0

Choose = Callable[[wire.CommandBody], Line]
"""The broker of this process that a command is for."""


class Commands:
    """What `TaskiqEngine.execute` does with a task, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, source: str, choose: Choose) -> None:
        self.agent = agent
        self.source = source
        self.choose = choose
        self.actions: Mapping[str, Action] = {
            "retry": self.retry,
            "edit": self.edit,
            "submit": self.submit,
            "cancel": self.cancel,
            "terminate": self.terminate,
            "move": self.move,
            "reconcile": self.reconcile,
        }

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original call as a new task. The hooks of sending report it."""
        line = self.choose(command)
        original = _opened(line.broker, call)
        args, kwargs = _body(line.broker, original)
        labels = {**original.labels, **_labels(line, command.details)}
        new_id = self._send(line, command, args, kwargs, labels)
        return done(command, f"Sent the original call as {new_id}; the broker took it.", new_id)

    def edit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The same with what an operator changed."""
        line, details = self.choose(command), command.details
        if call:
            original = _opened(line.broker, call)
            args, kwargs = _body(line.broker, original)
            hidden = line.sending.signatures.hidden(command.task_name)
            edited, labels = edit.merged(details.args, args, kwargs, hidden), original.labels
        else:
            edited, labels = edit.entered(details.args), self._task(line, command).labels
        given = {**labels, **_labels(line, details)}
        new_id = self._send(line, command, edited.args, edited.kwargs, given)
        return done(command, f"Sent the edited call as {new_id}; the broker took it.", new_id)

    def submit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """A new task, with the labels of its decorator."""
        line = self.choose(command)
        given = edit.entered(command.details.args)
        labels = {**self._task(line, command).labels, **_labels(line, command.details)}
        new_id = self._send(line, command, given.args, given.kwargs, labels)
        return done(command, f"Sent it as {new_id}; the broker took it.", new_id)

    def cancel(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Keeps a waiting task from starting."""
        task_id, line = command.task_id, self.choose(command)
        self.agent.cancelled.add([(self.source, task_id)])
        if task_id in line.tasks.running:
            raise CommandRefused(
                "unsupported",
                "The task is running in this worker: it goes on to its end unless it is "
                "terminated. If it fails, it will not be retried.",
            )
        for queue in _lists(line, command):
            data, message = self._find(line, queue, task_id)
            if data and line.run(taskiq_redis.remove_from_list(line.broker, queue, data)):
                attempt = taskiq_run.attempt_of(message.labels)
                about = (time.time_ns() // 1_000, self.source, task_id, attempt, "revoked")
                self.agent.recorder.emit(wire.TaskCancelled(*about, command.task_name))
                return done(command, "Removed the message from its queue: it will not run.")
        return done(
            command,
            "No waiting message was found to remove: a worker may hold it already. Workers with "
            "this agent remember it and skip it before it starts.",
            verified=False,
        )

    def name_of(self, command: wire.CommandBody) -> str:
        """By what runs here, else by a message in a list. Other brokers let nobody look for one."""
        line = self.choose(command)
        run = line.tasks.running.get(command.task_id)
        if run is not None:
            return run.name
        for queue in _lists(line, command):
            data, message = self._find(line, queue, command.task_id)
            if data:
                return str(message.task_name)
        return ""

    def terminate(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Cancels the coroutine of a task that runs in this process."""
        line = self.choose(command)
        run = line.tasks.running.get(command.task_id)
        if run is None:
            raise CommandRefused(
                "error", "The task does not run in this process; only the one that runs it can."
            )
        coroutine: asyncio.Task[Any] | None = run.coroutine
        is_plain = not inspect.iscoroutinefunction(run.target)
        if is_plain or coroutine is None or line.loop is None:
            raise CommandRefused(
                "unsupported",
                "The task is a plain function in a thread or a process of taskiq's pool: nothing "
                "can stop it there. It goes on to its end.",
            )
        run.terminated = True
        self.agent.cancelled.add([(self.source, command.task_id)])  # no retry by a middleware
        line.loop.call_soon_threadsafe(coroutine.cancel)
        stopped = within(lambda: command.task_id not in line.tasks.running, VERIFY_S)
        effect = "Stopped the task; taskiq stores `CancelledError` as its result."
        if not stopped:
            effect = "Asked the task to stop at its next `await`; it has not ended yet."
        return done(command, effect, verified=stopped)

    def move(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """To the end of another list, in one step."""
        line, target = self.choose(command), command.details.queue
        if not target:
            raise CommandRefused("invalid", "The queue to move to is missing.")
        if not line.is_list:
            raise CommandRefused("unsupported", "Only a message of a list can be moved.")
        for queue in _lists(line, command):
            data, _ = self._find(line, queue, command.task_id)
            if not data:
                continue
            if queue == target:
                return done(command, f"The message is in queue `{target}` already.")
            if line.run(taskiq_redis.move_in_lists(line.broker, queue, target, data)):
                return done(
                    command,
                    f"Moved the message to the end of `{target}`. Whether a worker listens there, "
                    "taskiq does not say.",
                )
        raise CommandRefused(
            "error", "The message is in no queue that this process knows: a worker has taken it."
        )

    def reconcile(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """taskiq itself knows results only, if it has a backend for them. A queue is looked into;
        a result that would be deleted by reading is not read."""
        if command.details.tasks:
            return reconcile.one_by_one(self.agent, command, self._state)
        state, where = self._state(command)
        return done(command, f"Found: {where}.", found=reconciled(reconcile.shown(state), where))

    def _state(self, command: wire.CommandBody) -> tuple[str, str]:
        line = self.choose(command)
        if command.task_id in line.tasks.running:
            return "running", f"it runs in this process, {line.tasks.worker}"
        for queue in _lists(line, command):
            data, _ = self._find(line, queue, command.task_id)
            if data:
                return "queued", f"its message waits in the list `{queue}`"
        ended = line.run(_result_of(line.broker, command.task_id))
        if ended is not None:
            return ended
        if not line.is_list:
            return reconcile.UNKNOWN, (
                "this broker lets nobody look for one message; one that a worker has not "
                "acknowledged is given out again"
            )
        if any(self._length(line, queue) > MAX_LOOKED_AT for queue in _lists(line, command)):
            return reconcile.UNKNOWN, f"more than {MAX_LOOKED_AT:,} messages wait"
        return "gone", (
            "its message is in no list that this process knows, and the result backend has "
            "nothing. A worker may have it: taskiq does not say"
        )

    def _length(self, line: Line, queue: str) -> int:
        return line.run(taskiq_redis.length_of_list(line.broker, queue))

    def _find(self, line: Line, queue: str, task_id: str) -> "tuple[Any, Any]":
        return line.run(taskiq_redis.find_in_list(line.broker, queue, task_id, MAX_LOOKED_AT))

    def _task(self, line: Line, command: wire.CommandBody) -> Any:
        name = command.task_name
        task = line.broker.find_task(name)
        if task is None:
            known = list(line.broker.get_all_tasks())
            near = ", ".join(f"`{one}`" for one in difflib.get_close_matches(name, known, 3, 0.5))
            raise CommandRefused(
                "invalid",
                f"This application has no task `{name}`." + (f" It has {near}." if near else ""),
            )
        return task

    def _send(
        self, line: Line, command: wire.CommandBody, args: Any, kwargs: Any, labels: Any
    ) -> str:
        from taskiq.kicker import AsyncKicker

        async def send() -> str:
            kicker: Any = AsyncKicker(command.task_name, line.broker, dict(labels))
            token = taskiq_run.retry_of.set(command.task_id)
            try:
                sent = await kicker.kiq(*args, **kwargs)
            finally:
                taskiq_run.retry_of.reset(token)
            return str(sent.task_id)

        return line.run(send())


def _lists(line: Line, command: wire.CommandBody) -> "list[str]":
    if not line.is_list:
        return []
    known = (command.queue, str(line.broker.queue_name))
    return [one for one in dict.fromkeys(known) if one]


def _labels(line: Line, details: wire.CommandDetails) -> "dict[str, Any]":
    """What an operator wants of the new message, where the broker goes by it."""
    by_rabbit = "aio_pika" in type(line.broker).__module__
    found: dict[str, Any] = {}
    if details.queue and details.queue not in line.queues:
        if not line.is_list:
            raise CommandRefused(
                "unsupported", "This broker sends to its own queue only; another has its own."
            )
        found["queue_name"] = details.queue
    if details.priority >= 0:
        if not by_rabbit:
            raise CommandRefused("unsupported", "taskiq's brokers on Redis have no priorities.")
        found["priority"] = details.priority
    if details.delay_s > 0:
        if not by_rabbit:
            raise CommandRefused(
                "unsupported",
                "taskiq's brokers on Redis send at once: a task for later needs a schedule.",
            )
        found["delay"] = details.delay_s
    return found


async def _result_of(broker: Any, task_id: str) -> tuple[str, str] | None:
    backend = broker.result_backend
    if type(backend).__name__ == "DummyResultBackend":  # it says yes to everything
        return None
    if not await backend.is_result_ready(task_id):
        return None
    if getattr(backend, "keep_results", None) is not True:
        text = "a result is stored, so it has ended; reading it might delete it"
        return reconcile.UNKNOWN, text
    result = await backend.get_result(task_id)
    if result.is_err:
        return "failed", f"its result is an exception, {type(result.error).__name__}"
    return "succeeded", "its result is stored"


def _opened(broker: Any, call: bytes) -> taskiq_call.SealedCall:
    try:
        original = taskiq_call.unpack(call)
    except msgspec.DecodeError as error:
        raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
    if original.format not in (taskiq_call.PLAIN, taskiq_call.format_of(broker)):
        raise CommandRefused(
            "unsupported",
            f"The call was written by {original.format}, and this process uses another format.",
        )
    return original


def _body(broker: Any, original: taskiq_call.SealedCall) -> "tuple[list[Any], dict[str, Any]]":
    try:
        return taskiq_call.open_body(broker, original)
    except Exception as error:  # noqa: BLE001 - whatever the application's own code raises
        why = f"The application cannot read the call any more: {type(error).__name__}: {error}."
        raise CommandRefused("error", why) from None
