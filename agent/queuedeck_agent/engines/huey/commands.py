# SPDX-License-Identifier: Apache-2.0
"""Verbs of a task and of a name, carried out by the application's own instances and connections.

What is sent goes through `Huey.enqueue`, so that our hook of it reports it.
"""

import difflib
import time
from typing import Any

import msgspec

from queuedeck_agent import edit as edited
from queuedeck_agent import wire
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.commands import done, reconciled
from queuedeck_agent.engines.huey import call as huey_call
from queuedeck_agent.engines.huey import storage as huey_storage
from queuedeck_agent.engines.huey.publish import PublishHooks, retry_of
from queuedeck_agent.engines.huey.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused

_LATER_FIELDS = ("timeout", "retry_backoff")
"""Fields of messages that later versions of Huey have."""


class Commands:
    """For the instances of one storage, on the thread of the agent's runner."""

    def __init__(self, publishing: PublishHooks, tasks: TaskHooks, hueys: "dict[str, Any]") -> None:
        self.publishing = publishing
        self.tasks = tasks
        self.agent = publishing.agent
        self.source = publishing.source
        self.hueys = hueys

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original arguments as a new task."""
        original, huey, message = self._opened(command, call)
        task = self._task(huey, message)
        return self._sent(command, huey, task, "the original call", original.linked)

    def edit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the call with what was changed; without the original only whole values count."""
        if not call:
            return self.submit(command, call)
        original, huey, message = self._opened(command, call)
        hidden = self.publishing.arguments.hidden_of(self._kind(huey, message.name))
        new = edited.merged(command.details.args, message.args, message.kwargs, hidden)
        message = message._replace(args=tuple(new.args), kwargs=new.kwargs)
        huey = self._named(command.details.queue) if command.details.queue else huey
        task = self._task(huey, message)
        return self._sent(command, huey, task, "the edited call", original.linked)

    def submit(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Sends a task that an instance of this process knows."""
        huey = self._instance_with(command.task_name, command.details.queue or command.queue)
        new = edited.entered(command.details.args)
        task = self._kind(huey, command.task_name)(tuple(new.args), new.kwargs)
        return self._sent(command, huey, task, "what was entered")

    def cancel(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Revokes a waiting task, and takes its message out where the storage can be asked to."""
        task_id = command.task_id
        hueys = self._hueys_of(command.queue)
        removed: huey_storage.Waiting | None = None
        for huey in hueys:
            huey.revoke_by_id(task_id, revoke_once=True)
            if not huey.is_revoked(task_id):
                raise CommandRefused("error", "The storage did not keep the revocation.")
            removed = huey_storage.remove(huey, task_id)
            if removed is not None:
                self._cancelled(command, removed)
        if removed is not None:
            for huey in hueys:
                huey.restore_by_id(task_id)
            return done(command, "Removed the message from its queue: it will not run.")
        return done(
            command,
            "The task is marked as revoked: the worker that takes its message discards it. No "
            "message was found waiting, so it may be running already; Huey cannot stop it then.",
            verified=False,
        )

    def name_of(self, command: wire.CommandBody) -> str:
        """By a message that waits. Of one that runs, only the revocation could be kept."""
        hueys = self._hueys_of(command.queue)
        found = (huey_storage.find(huey, command.task_id) for huey in hueys)
        return next((one.name for one in found if one is not None), "")

    def priority(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """Of a message that waits, or is scheduled: it is replaced by one with another."""
        priority = command.details.priority
        found = self._waiting(command)
        _must_fit(found.huey, found.store.ranked, priority)
        message = found.message._replace(priority=priority)
        data = huey_storage.written(found.huey, message, found.stamp)
        if not found.store.replace(found.entry, data, priority):
            raise _gone()
        effect = f"The message in the {found.entry.place} of `{found.huey.name}` has priority "
        effect += f"{priority} instead of {found.message.priority or 0}."
        return done(command, effect, affected=1)

    def move(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """To another instance of this process, which has its own registry and serializer."""
        found = self._waiting(command)
        target = self._named(command.details.queue)
        store = huey_storage.store_of(target)
        self._kind(target, found.name)
        if target is found.huey:
            return done(command, f"The message is in `{target.name}` already; nothing changed.")
        data = huey_storage.written(target, found.message, found.stamp)
        if store is None or store.ranked != found.store.ranked:
            raise CommandRefused("unsupported", "Only one of the two queues has priorities.")
        if not found.store.move(found.entry, store, data):
            raise _gone()
        effect = f"Moved the message from the {found.entry.place} of `{found.huey.name}` to that "
        effect += f"of `{target.name}`, with its id."
        return done(command, effect, affected=1)

    def reconcile(self, command: wire.CommandBody, _call: bytes) -> wire.CommandDone:
        """What the storage and this consumer know of the task now. Changes nothing, takes no
        result away."""
        if command.details.tasks:
            return reconcile.one_by_one(self.agent, command, self._whereabouts)
        state, where = self._whereabouts(command)
        return done(command, where, found=reconciled(reconcile.shown(state), where))

    def _whereabouts(self, command: wire.CommandBody) -> tuple[str, str]:
        task_id, hueys = command.task_id, self._hueys_of(command.queue)
        slot = self.tasks.running.slot_of(task_id)
        if slot >= 0:
            return "running", f"Runs in worker {slot + 1} of {self.tasks.worker}."
        for huey in hueys:
            if any(task.id == task_id for task in list(getattr(huey, "_tasks_in_flight", ()))):
                return "running", f"Runs in {self.tasks.worker}."
        for huey in hueys:
            found = huey_storage.find(huey, task_id)
            if found is not None:
                state = "scheduled" if found.entry.place == "schedule" else "queued"
                return state, f"In the {found.entry.place} of `{huey.name}`."
            if huey.storage.has_data_for_key(task_id):
                failed = hasattr(huey.get(task_id, peek=True), "metadata")
                return "failed" if failed else "succeeded", f"`{huey.name}` has its result."
        if not all(map(huey_storage.sees_all, hueys)):
            return (
                reconcile.UNKNOWN,
                "More waits than is looked through, or the storage is another.",
            )
        return "gone", (
            "Neither in a queue, nor in a schedule, nor among the results; this consumer does not "
            "run it."
        )

    def _sent(
        self, command: wire.CommandBody, huey: Any, task: Any, what: str, linked: bool = False
    ) -> wire.CommandDone:
        details = command.details
        if details.priority >= 0:
            store = huey_storage.store_of(huey)
            _must_fit(huey, store is not None and store.ranked, details.priority)
            task.priority = details.priority
        if details.delay_s > 0:
            from huey.utils import normalize_time

            task.eta = normalize_time(None, details.delay_s, huey.utc)
        token = retry_of.set(command.task_id)
        try:
            huey.enqueue(task)
        finally:
            retry_of.reset(token)
        effect = f"Sent {what} to queue `{huey.name}` as {task.id}; the storage took it."
        if linked:
            effect += " It runs alone: its pipeline, error handler and chord are not repeated."
        return done(command, effect, str(task.id))

    def _opened(self, command: wire.CommandBody, call: bytes) -> "tuple[Any, Any, Any]":
        """(sealed call, its instance, its message by Huey's own serializer)."""
        try:
            original = huey_call.unpack(call)
        except msgspec.DecodeError as error:
            raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
        huey = self.hueys.get(original.queue)
        if huey is None:
            raise CommandRefused(
                "unsupported",
                f"This process has no Huey instance named `{original.queue}`; one that has must "
                "be connected to retry the task.",
            )
        message = huey.serializer.deserialize(original.message)
        self._kind(huey, message.name)
        if command.task_name and message.name != command.task_name:
            raise CommandRefused("invalid", "The sealed call is one of another task.")
        return original, huey, message

    def _task(self, huey: Any, message: Any) -> Any:
        """The task again, with an id of its own."""
        more = {
            field: getattr(message, field)
            for field in _LATER_FIELDS
            if getattr(message, field, None) is not None
        }
        return self._kind(huey, message.name)(
            message.args,
            message.kwargs,
            retries=message.retries,
            retry_delay=message.retry_delay,
            priority=message.priority,
            **more,
        )

    def _kind(self, huey: Any, name: str) -> Any:
        """The class of a task, by the registry of its instance."""
        try:
            return huey._registry.string_to_task(name)
        except Exception as error:  # noqa: BLE001 - the registry's own words
            raise CommandRefused("unsupported", f"{error} of this process.") from None

    def _instance_with(self, name: str, queue: str) -> Any:
        """The instance that knows a task: the one that is named, if it does."""
        known = {q: huey for q, huey in self.hueys.items() if name in huey._registry._registry}
        if known and (not queue or queue in known):
            return known[queue] if queue else next(iter(known.values()))
        names = sorted({n for huey in self.hueys.values() for n in huey._registry._registry})
        near = difflib.get_close_matches(name, names, 3, 0.5) or names[:3]
        shown = ", ".join(f"`{one}`" for one in near) or "none"
        where = f" in `{queue}`" if queue else ""
        raise CommandRefused(
            "invalid", f"This application has no task `{name}`{where}; it has {shown}."
        )

    def _waiting(self, command: wire.CommandBody) -> huey_storage.Waiting:
        for huey in self._hueys_of(command.queue):
            found = huey_storage.find(huey, command.task_id)
            if found is not None:
                return found
        raise _gone()

    def _cancelled(self, command: wire.CommandBody, removed: huey_storage.Waiting) -> None:
        self.agent.recorder.emit(
            wire.TaskCancelled(
                time.time_ns() // 1_000,
                self.source,
                command.task_id,
                removed.attempt,
                "revoked",
                command.task_name or removed.name,
            )
        )

    def _named(self, queue: str) -> Any:
        huey = self.hueys.get(queue)
        if huey is None:
            names = ", ".join(f"`{one}`" for one in sorted(self.hueys)) or "none"
            raise CommandRefused(
                "invalid", f"This process has no Huey instance named `{queue}`; it has {names}."
            )
        return huey

    def _hueys_of(self, queue: str) -> list[Any]:
        named = self.hueys.get(queue)
        found = [named] if named is not None else list(self.hueys.values())
        if not found:
            raise CommandRefused("error", "This process has no Huey instance on that storage.")
        return found


def _must_fit(huey: Any, ranked: bool, priority: int) -> None:
    if not ranked:
        raise CommandRefused("unsupported", f"The storage of `{huey.name}` has no priorities.")
    most = getattr(huey.storage, "MAX_PRIORITY", None)
    if priority < 0 or (most is not None and priority > most):
        raise CommandRefused("invalid", f"Priorities go from 0 to {most or 'any number'} here.")


def _gone() -> CommandRefused:
    return CommandRefused("invalid", "No waiting message was found: a worker may have it already.")
