# SPDX-License-Identifier: Apache-2.0
"""Retry, edit and submit: a new task, sent inside the application's own process and connections."""

import datetime
import difflib
import os
import socket
import time
import uuid
from typing import Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.edit import Call, entered, merged
from queuedeck_agent.engines.celery import call as celery_call
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.broker import NAMED_AT_MOST, check_queue
from queuedeck_agent.engines.celery.publish import STAMP, PublishHooks, instant_us
from queuedeck_agent.engines.commands import done
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.overrides import Hidden

RETRIES = {"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5}
"""For a broker that is away: then the operator is told."""


class Sending:
    """New tasks, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, arguments: Arguments, publishing: PublishHooks) -> None:
        self.agent = agent
        self.app = arguments.app
        self.source = arguments.source
        self.arguments = arguments
        self.publishing = publishing

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Publishes the original call, its bytes untouched, under a new id."""
        return self._send_call(command, _unpacked(call), "the original call")

    def edit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The original call with other arguments; without it, a task with what was entered."""
        if not call:
            return self._send_by_name(command, entered(command.details.args), command.task_id)
        original = _unpacked(call)
        args, kwargs = self._loaded(original)
        hidden = self.arguments.hidden_in(command.task_name)
        new = merged(command.details.args, args, kwargs, hidden)
        changed = celery_call.with_arguments(original, new.args, new.kwargs)
        if changed is None:
            raise CommandRefused(
                "invalid",
                f"These arguments cannot be written as {original.content_type}, as the original "
                "call was.",
            )
        details = command.details
        if details.queue:
            check_queue(self.app, details.queue)
            changed = msgspec.structs.replace(changed, exchange="", routing_key=details.queue)
        if details.priority >= 0:
            changed = msgspec.structs.replace(changed, priority=details.priority)
        return self._send_call(command, changed, "the edited call")

    def submit(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """A task by its name, as the application itself would send it."""
        return self._send_by_name(command, entered(command.details.args), "")

    def _send_by_name(
        self, command: wire.CommandBody, given: Call, retry_of: str
    ) -> wire.CommandDone:
        name, details = command.task_name, command.details
        task = self.app.tasks.get(name)
        if task is None:
            raise CommandRefused("invalid", _unknown(name, self.app.tasks))
        if self.app.conf.task_always_eager:
            raise CommandRefused(
                "unsupported",
                "This application runs tasks where they are sent (task_always_eager); they never "
                "reach a broker.",
            )
        if details.queue:
            check_queue(self.app, details.queue)
        new_id = str(uuid.uuid4())
        options = {
            "queue": details.queue or None,
            "priority": details.priority if details.priority >= 0 else None,
            "countdown": details.delay_s or None,
        }
        if retry_of:
            self.publishing.retries[new_id] = retry_of
        try:
            task.apply_async(
                given.args,
                given.kwargs,
                task_id=new_id,
                retry_policy=RETRIES,
                **{key: value for key, value in options.items() if value is not None},
            )
        except TypeError as error:
            raise CommandRefused(
                "invalid", f"`{name}` does not take these arguments: {error}."
            ) from None
        finally:
            self.publishing.retries.pop(new_id, None)
        return done(command, f"Sent `{name}` as {new_id}; the broker took it.", new_id)

    def _send_call(
        self, command: wire.CommandBody, call: celery_call.SealedCall, what: str
    ) -> wire.CommandDone:
        new_id = str(uuid.uuid4())
        at_us = time.time_ns() // 1_000
        hidden = self.arguments.hidden_in(command.task_name)
        shown = _shown(call, hidden) if self.agent.config.capture_args else b""
        headers = _headers(call, command, new_id)
        headers[STAMP] = {"at": at_us, "c": 1 if shown else 0, "retry_of": command.task_id}
        queue = self._publish(call, headers, new_id)
        sealed = b""
        if shown and (plain := celery_call.packed(call)):
            seal, project = self.agent.seals.seal, self.agent.project
            sealed = seal(project, self.source, command.task_name, new_id, plain)
        self.agent.recorder.emit(
            wire.TaskPublished(
                at_us,
                self.source,
                new_id,
                1,
                command.task_name,
                queue,
                shown,
                sealed,
                eta_us=instant_us(headers["eta"]),
                priority=-1 if call.priority is None else call.priority,
                root_id=new_id,
                retry_of=command.task_id,
                origin=headers["origin"],
                exchange=call.exchange,
                routing_key=call.routing_key,
            )
        )
        effect = f"Sent {what} to queue `{queue}` as {new_id}; the broker took it."
        if call.linked:
            effect += " It runs alone: links, chain and chord of the original are not repeated."
        return done(command, effect, new_id)

    def _publish(
        self, original: celery_call.SealedCall, headers: "dict[str, Any]", new_id: str
    ) -> str:
        app = self.app
        queue = self._declared(original)
        properties: dict[str, Any] = {"correlation_id": new_id, "reply_to": ""}
        if original.priority is not None:
            properties["priority"] = original.priority
        with app.producer_or_acquire() as producer:
            producer.publish(
                original.body,
                exchange=original.exchange,
                routing_key=original.routing_key,
                content_type=original.content_type,
                content_encoding=original.content_encoding,
                headers=headers,
                declare=[queue] if queue is not None else None,
                delivery_mode=app.conf.task_default_delivery_mode,
                retry=True,
                retry_policy=RETRIES,
                **properties,
            )
        return queue.name if queue is not None else original.routing_key

    def _declared(self, original: celery_call.SealedCall) -> Any:
        queues = self.app.amqp.queues
        if original.exchange:
            for queue in queues.values():
                if queue.routing_key == original.routing_key:
                    return queue
            return None
        try:
            return queues[original.routing_key or self.app.conf.task_default_queue]
        except KeyError:
            raise CommandRefused(
                "error",
                f"Queue `{original.routing_key}` is not among this application's task_queues any "
                "more, so the task cannot be sent there.",
            ) from None

    def _loaded(self, original: celery_call.SealedCall) -> tuple[Any, Any]:
        """Opened as a worker of this application would: what it does not accept stays closed."""
        try:
            return celery_call.load(original, self.app.conf.accept_content)
        except Exception as error:  # noqa: BLE001 - whatever the application's serializer raises
            raise CommandRefused(
                "unsupported",
                f"The original call is {original.content_type}, which this process cannot open "
                f"({type(error).__name__}). Retry it as it is, or submit it anew.",
            ) from None


def _unpacked(call: bytes) -> celery_call.SealedCall:
    try:
        return celery_call.unpack(call)
    except msgspec.DecodeError as error:
        raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None


def _unknown(name: str, tasks: Any) -> str:
    own = [one for one in tasks if not one.startswith("celery.")]
    near = difflib.get_close_matches(name, own, NAMED_AT_MOST, 0.5) or sorted(own)[:NAMED_AT_MOST]
    known = f"It knows {', '.join(near)}." if near else "It knows none at all."
    return f"This application has no task `{name}`. {known}"


def _headers(
    original: celery_call.SealedCall, command: wire.CommandBody, new_id: str
) -> "dict[str, Any]":
    args, kwargs = _opened(original)
    return {
        **original.headers,
        "lang": "py",
        "task": command.task_name,
        "id": new_id,
        "shadow": original.shadow,
        "eta": _due(command.details.delay_s),
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": list(original.timelimit),
        "root_id": new_id,
        "parent_id": None,
        "argsrepr": _text(original.argsrepr, args),
        "kwargsrepr": _text(original.kwargsrepr, kwargs),
        "origin": f"queuedeck{os.getpid()}@{socket.gethostname()}",
        "ignore_result": bool(original.ignore_result),
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }


def _due(delay_s: int) -> str | None:
    if delay_s <= 0:
        return None
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=delay_s)).isoformat()


def _opened(original: celery_call.SealedCall) -> tuple[Any, Any]:
    """(args, kwargs) of JSON. Other serialisations are not opened: a pickle would run code."""
    if original.content_type != "application/json":
        return None, None
    try:
        args, kwargs, _embed = msgspec.json.decode(original.body)
    except (msgspec.DecodeError, ValueError):
        return None, None
    return args, kwargs


def _shown(original: celery_call.SealedCall, hidden: Hidden) -> bytes:
    """Redacted arguments for the new task. Where there are none the worker captures them."""
    args, kwargs = _opened(original)
    if args is None:
        return b""
    shown = capture.arguments(args, kwargs, hidden).json
    if original.argsrepr is None and original.kwargsrepr is None:
        return shown
    return capture.described(original.argsrepr, original.kwargsrepr, shown, hidden)


def _text(given: str | None, value: Any) -> str:
    """For Celery's own log lines."""
    from celery.utils.saferepr import saferepr

    if given is not None:
        return given
    return "<not shown>" if value is None else saferepr(value, 1024)
