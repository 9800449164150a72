# SPDX-License-Identifier: Apache-2.0
"""Retry and cancel, carried out inside the application's own process and connections."""

import os
import socket
import time
import uuid
from typing import Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery import call as celery_call
from queuedeck_agent.engines.celery import redis as celery_redis
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.publish import STAMP
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.overrides import Hidden

STOPPABLE_POOLS = ("prefork", "gevent")
"""Pools that can stop a running task. Threads and solo cannot: Celery only logs an error."""
ASK_WORKERS_S = 1.0
VERIFY_S = 3.0


class Commands:
    """What `CeleryEngine.execute` does, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, arguments: Arguments) -> None:
        self.agent = agent
        self.app = arguments.app
        self.source = arguments.source
        self.arguments = arguments
        self.pool = ""

    def retry(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Publishes the original call, its bytes untouched, under a new id."""
        try:
            original = celery_call.unpack(call)
        except msgspec.DecodeError as error:
            raise CommandRefused("invalid", f"The sealed call cannot be read: {error}.") from None
        new_id = str(uuid.uuid4())
        at_us = time.time_ns() // 1_000
        hidden = self.arguments.hidden_in(command.task_name)
        shown = _shown(original, hidden) if self.agent.config.capture_args else b""
        headers = _headers(original, command, new_id)
        headers[STAMP] = {"at": at_us, "c": 1 if shown else 0, "retry_of": command.task_id}
        queue = self._publish(original, headers, new_id)
        sealed = b""
        if shown:
            agent = self.agent
            sealed = agent.seals.seal(agent.project, self.source, command.task_name, new_id, call)
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
                priority=-1 if original.priority is None else original.priority,
                root_id=new_id,
                retry_of=command.task_id,
                origin=headers["origin"],
                exchange=original.exchange,
                routing_key=original.routing_key,
            )
        )
        effect = f"Sent the original call to queue `{queue}` as {new_id}; the broker took it."
        if original.linked:
            effect += " It runs alone: links, chain and chord of the original are not repeated."
        return self._done(command, effect, new_task_id=new_id)

    def cancel(self, command: wire.CommandBody) -> wire.CommandDone:
        """Keeps a waiting task from starting; stops a running one only where the host allows."""
        task_id = command.task_id
        if _runs_here(task_id):
            return self._terminate(command, "this worker")
        queues = self._queues_of(command.queue)
        if attempt := celery_redis.remove(self.app, queues, task_id):
            self._remember(task_id)
            self.agent.recorder.emit(
                wire.TaskCancelled(
                    time.time_ns() // 1_000,
                    self.source,
                    task_id,
                    attempt,
                    "revoked",
                    command.task_name,
                )
            )
            return self._done(command, "Removed the message from its queue: it will not run.")
        place, worker = self._ask_workers(task_id)
        if place == "active":
            return self._terminate(command, worker)
        self._remember(task_id)
        self.app.control.revoke(task_id)
        where = f"Worker {worker} holds it" if worker else "No worker holds it"
        return self._done(
            command,
            f"{where}; all workers were told to discard it when its turn comes, and workers with "
            "this agent remember it over a restart.",
            verified=False,
        )

    def terminate(self, command: wire.CommandBody) -> wire.CommandDone:
        """Stops a running task; one that waits is cancelled."""
        if _runs_here(command.task_id):
            return self._terminate(command, "this worker")
        return self.cancel(command)

    def _terminate(self, command: wire.CommandBody, worker: str) -> wire.CommandDone:
        if "terminate" not in self.agent.policy.allow:
            raise CommandRefused(
                "refused",
                f"The task is running on {worker}. Stopping it kills its process in the middle of "
                "the work, which this host does not allow: add `terminate` to QUEUEDECK_ALLOW "
                "there and restart the worker.",
            )
        if self.pool and self.pool not in STOPPABLE_POOLS:
            raise CommandRefused(
                "unsupported",
                f"The task is running in a {self.pool} pool, which cannot stop a running task. "
                "It will go on to its end.",
            )
        self.app.control.revoke(command.task_id, terminate=True, signal="SIGTERM")
        stopped = _wait_until_stopped(command.task_id) if worker == "this worker" else False
        effect = "Stopped the task's process." if stopped else f"Asked {worker} to stop the task."
        return self._done(command, effect, verified=stopped)

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
                retry_policy={"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5},
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

    def _queues_of(self, queue: str) -> list[str]:
        known = [one for one in self.app.amqp.queues if one != queue]
        return [queue, *known] if queue else known

    def _remember(self, task_id: str) -> None:
        self.agent.cancelled.add([(self.source, task_id)])
        from celery.worker import state

        state.revoked.add(task_id)

    def _ask_workers(self, task_id: str) -> tuple[str, str]:
        """(active, reserved or scheduled; the worker), or two empty texts."""
        asked = self.app.control.inspect(timeout=ASK_WORKERS_S)
        for worker, found in (asked.query_task([task_id]) or {}).items():
            if task_id in found:
                return str(found[task_id][0]), str(worker)
        return "", ""

    def _done(
        self,
        command: wire.CommandBody,
        effect: str,
        new_task_id: str = "",
        verified: bool = True,
    ) -> wire.CommandDone:
        at_us = time.time_ns() // 1_000
        return wire.CommandDone(at_us, command.command_id, effect, new_task_id, verified)


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
        "eta": None,
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


def _runs_here(task_id: str) -> bool:
    from celery.worker import state

    return any(request.id == task_id for request in list(state.active_requests))


def _wait_until_stopped(task_id: str) -> bool:
    until = time.monotonic() + VERIFY_S
    while time.monotonic() < until:
        if not _runs_here(task_id):
            return True
        time.sleep(0.05)
    return False
