# SPDX-License-Identifier: Apache-2.0
"""Hooks of publishing: in producers, beat, and workers that send retries, links and subtasks."""

import datetime
import time
from typing import Any, NamedTuple

from queuedeck_agent import request, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.limits import Running, hook

STAMP = "queuedeck"
"""Our header: {"at": microseconds, "c": 1 if the publisher captured the arguments}."""

_DELAYED = "celery_delayed_"
_DELAY_DIGITS = 28
"""Since 5.5 a task for later on quorum queues goes through 28 queues of RabbitMQ's that wait: the
exchange is one of theirs, the routing key so many digits and then the task's own."""

_MAX_PENDING = 256
"""Published but not yet confirmed calls that are remembered; a failed publish leaves one behind."""


class _Pending(NamedTuple):
    at_us: int
    args: bytes
    sealed: bytes
    priority: int
    schedule: str


class PublishHooks:
    """`before_task_publish` captures and stamps, `after_task_publish` reports."""

    def __init__(self, agent: Agent, arguments: Arguments, running: Running) -> None:
        self.agent = agent
        self.arguments = arguments
        self.running = running
        """Tasks that run in this process now; filled by the worker's hooks."""
        self.schedule = ""
        """The name of the beat entry that is being sent."""
        self.retries: dict[str, str] = {}
        """New id -> the task that an operator edited, while it is sent."""
        self._pending: dict[str, _Pending] = {}
        self._queues: dict[tuple[str, str], str] = {}

    @hook
    def before(
        self,
        sender: Any = None,
        body: Any = None,
        headers: Any = None,
        properties: Any = None,
        exchange: Any = None,
        routing_key: Any = None,
        **_: Any,
    ) -> None:
        """Nothing is sent yet: the message may still be refused by the broker."""
        if sender.startswith("celery.") or not isinstance(headers, dict):
            return
        at_us = time.time_ns() // 1_000
        task_id, (args, kwargs, embed) = _call_of(headers, body)
        priority = (properties or {}).get("priority")
        delivery = {"exchange": exchange, "routing_key": routing_key, "priority": priority}
        if exchange:
            delivery = self.undelayed(delivery)
        shown, sealed = self.arguments.take(sender, task_id, args, kwargs, headers, delivery, embed)
        headers[STAMP] = {"at": at_us, "c": 1 if shown else 0}
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)), None)
        self._pending[task_id] = _Pending(
            at_us, shown, sealed, -1 if priority is None else int(priority), self.schedule
        )
        self._note_replacement(task_id, headers)

    @hook
    def after(
        self,
        sender: Any = None,
        body: Any = None,
        headers: Any = None,
        exchange: Any = None,
        routing_key: Any = None,
        **_: Any,
    ) -> None:
        """The broker has taken it."""
        if sender.startswith("celery.") or not isinstance(headers, dict):
            return
        task_id, (_args, _kwargs, embed) = _call_of(headers, body)
        found = self._pending.pop(task_id, None)
        if found is None:
            return
        meta = headers if "id" in headers else body
        place = name_of(exchange)
        route, user = request.context()
        self.agent.recorder.emit(
            wire.TaskPublished(
                found.at_us,
                self.arguments.source,
                task_id,
                (meta.get("retries") or 0) + 1,
                sender,
                self.queue_of(place, routing_key or ""),
                found.args,
                found.sealed,
                instant_us(meta.get("eta")),
                instant_us(meta.get("expires")),
                found.priority,
                parent_of(meta, task_id),
                meta.get("root_id") or "",
                meta.get("group") or "",
                self.retries.get(task_id, "") if self.retries else "",
                found.schedule,
                meta.get("origin") or "",
                place,
                routing_key or "",
                _chord_id(embed),
                route,
                user,
            )
        )

    def queue_of(self, exchange: str, routing_key: str) -> str:
        """The queue's name; with the default exchange it is the routing key."""
        if not exchange:
            return routing_key
        if exchange.startswith(_DELAYED):
            exchange, routing_key = _DELAYED, routing_key.split(".", _DELAY_DIGITS)[-1]
        key = (exchange, routing_key)
        if key not in self._queues:
            self._queues[key] = next(
                (
                    queue.name
                    for queue in self.arguments.app.amqp.queues.values()
                    if exchange in (_DELAYED, name_of(queue.exchange))
                    and queue.routing_key == routing_key
                ),
                routing_key,
            )
        return self._queues[key]

    def undelayed(self, delivery: "dict[str, Any]") -> "dict[str, Any]":
        """Where the message goes without its delay: a retry of it does not wait again."""
        exchange = name_of(delivery.get("exchange"))
        if not exchange.startswith(_DELAYED):
            return delivery
        queue = self.queue_of(exchange, delivery.get("routing_key") or "")
        return {**delivery, "exchange": "", "routing_key": queue}

    def queue_in(self, delivery: "dict[str, Any]") -> str:
        """The queue's name, from what a message says about its delivery."""
        exchange = delivery.get("exchange")
        routing_key: str = delivery.get("routing_key") or ""
        return self.queue_of(name_of(exchange), routing_key) if exchange else routing_key

    def _note_replacement(self, task_id: str, headers: "dict[str, Any]") -> None:
        """`Task.replace` publishes another call under the id of the task that is running."""
        run = self.running.get(task_id)
        if run is not None and headers.get("replaced_task_nesting"):
            run.replaced = True


def follow_schedules(hooks: PublishHooks, scheduler: type[Any]) -> None:
    """Learns which beat entry is being sent.

    A patch of `celery.beat.Scheduler.apply_async`, there since Celery 3: no signal and no header
    of plain beat names the entry.
    """
    original = scheduler.apply_async
    if hasattr(original, "queuedeck_original"):
        return

    def apply_async(self: Any, entry: Any, *args: Any, **kwargs: Any) -> Any:
        hooks.schedule = str(getattr(entry, "name", "") or "")[:200]
        try:
            return original(self, entry, *args, **kwargs)
        finally:
            hooks.schedule = ""

    apply_async.queuedeck_original = original  # type: ignore[attr-defined]
    scheduler.apply_async = apply_async


def instant_us(value: Any) -> int:
    """Microseconds since the epoch of an ISO text or a datetime; 0 if there is none."""
    if not value:
        return 0
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return 0
    if not isinstance(value, datetime.datetime):
        return 0
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.timezone.utc)
    return int(value.timestamp() * 1_000_000)


def parent_of(headers: "dict[str, Any]", task_id: str) -> str:
    """The task that sent this one. In its own retries Celery names the task itself."""
    parent = headers.get("parent_id")
    return parent if parent and parent != task_id else ""


def name_of(exchange: Any) -> str:
    """An exchange is named by text, or is an object with a name."""
    return exchange if isinstance(exchange, str) else getattr(exchange, "name", "") or ""


def _call_of(headers: "dict[str, Any]", body: Any) -> tuple[str, tuple[Any, Any, Any]]:
    """Message protocol 2 has the id in the headers and a tuple as body; protocol 1 one dict."""
    if isinstance(body, tuple):
        return headers["id"], body
    embed = {"chord": body.get("chord"), "callbacks": body.get("callbacks")}
    return body["id"], (body.get("args") or (), body.get("kwargs") or {}, embed)


def _chord_id(embed: Any) -> str:
    chord = embed.get("chord") if embed else None
    if not chord:
        return ""
    return (chord.get("options") or {}).get("task_id") or ""
