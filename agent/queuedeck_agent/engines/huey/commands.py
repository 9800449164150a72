# SPDX-License-Identifier: Apache-2.0
"""Retry and cancel, carried out by the application's own Huey instances and connections."""

import time
from typing import Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.engines.huey import call as huey_call
from queuedeck_agent.engines.huey import storage as huey_storage
from queuedeck_agent.engines.huey.publish import PublishHooks, retry_of
from queuedeck_agent.errors import CommandRefused


class Commands:
    """What `HueyEngine.execute` does, on the thread of the agent's runner."""

    def __init__(self, publishing: PublishHooks, hueys: "dict[str, Any]") -> None:
        self.publishing = publishing
        self.agent = publishing.agent
        self.source = publishing.source
        self.hueys = hueys

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Sends the original arguments as a new task."""
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
        task = self._remade(huey, original, command.task_name)
        token = retry_of.set(command.task_id)
        try:
            huey.enqueue(task)  # through our own hook, which reports it
        finally:
            retry_of.reset(token)
        effect = f"Sent the original call to queue `{original.queue}` as {task.id}; the storage "
        effect += "took it."
        if original.linked:
            effect += " It runs alone: its pipeline, error handler and chord are not repeated."
        return self._done(command, effect, new_task_id=str(task.id))

    def cancel(self, command: wire.CommandBody) -> wire.CommandDone:
        """Revokes a waiting task, and takes its message out where the storage can be asked to."""
        task_id = command.task_id
        hueys = self._hueys_of(command.queue)
        removed: Any = None
        for huey in hueys:
            huey.revoke_by_id(task_id, revoke_once=True)
            if not huey.is_revoked(task_id):
                raise CommandRefused("error", "The storage did not keep the revocation.")
            removed = huey_storage.remove(huey, task_id)
            if removed is not None:
                self._removed(command, removed)
        if removed is not None:
            for huey in hueys:
                huey.restore_by_id(task_id)
            return self._done(command, "Removed the message from its queue: it will not run.")
        return self._done(
            command,
            "The task is marked as revoked: the worker that takes its message discards it. No "
            "message was found waiting, so it may be running already; Huey cannot stop it then.",
            verified=False,
        )

    def _remade(self, huey: Any, original: huey_call.SealedCall, name: str) -> Any:
        """The task again, by Huey's own serializer and registry, with an id of its own."""
        message = huey.serializer.deserialize(original.message)
        try:
            kind = huey._registry.string_to_task(message.name)
        except Exception as error:  # noqa: BLE001 - the registry's own words
            raise CommandRefused("unsupported", f"{error} of this process.") from None
        if name and message.name != name:
            raise CommandRefused("invalid", "The sealed call is one of another task.")
        # Fields that later versions of Huey have, where the message has them.
        more = {
            field: getattr(message, field)
            for field in ("timeout", "retry_backoff")
            if getattr(message, field, None) is not None
        }
        return kind(
            message.args,
            message.kwargs,
            retries=message.retries,
            retry_delay=message.retry_delay,
            priority=message.priority,
            **more,
        )

    def _removed(self, command: wire.CommandBody, removed: "huey_storage.Removed") -> None:
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

    def _hueys_of(self, queue: str) -> list[Any]:
        named = self.hueys.get(queue)
        found = [named] if named is not None else list(self.hueys.values())
        if not found:
            raise CommandRefused("error", "This process has no Huey instance on that storage.")
        return found

    def _done(
        self,
        command: wire.CommandBody,
        effect: str,
        new_task_id: str = "",
        verified: bool = True,
    ) -> wire.CommandDone:
        at_us = time.time_ns() // 1_000
        return wire.CommandDone(at_us, command.command_id, effect, new_task_id, verified)
