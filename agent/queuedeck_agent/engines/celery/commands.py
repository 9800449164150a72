# SPDX-License-Identifier: Apache-2.0
"""Cancel, terminate, priority, move and reconcile: what is asked about one task that exists."""

import time
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.celery.abilities import can_stop
from queuedeck_agent.engines.celery.arguments import Arguments
from queuedeck_agent.engines.celery.broker import check_queue
from queuedeck_agent.engines.celery.redis import Lists, Place, lists_of
from queuedeck_agent.engines.celery.state import (
    ask_workers,
    name_here,
    revoke,
    runs_here,
)
from queuedeck_agent.engines.celery.whereabouts import Whereabouts
from queuedeck_agent.engines.commands import done, reconciled, within
from queuedeck_agent.errors import CommandRefused

VERIFY_S = 3.0
MOST_URGENT, LEAST_URGENT = 0, 9
"""Kombu's priorities on Redis."""


class Commands:
    """What is done to a task, on the thread of the agent's runner."""

    def __init__(self, agent: Agent, arguments: Arguments) -> None:
        self.agent = agent
        self.app = arguments.app
        self.source = arguments.source
        self.pool = ""

    def name_of(self, command: wire.CommandBody) -> str:
        """By a message on Redis, else by what a worker has. RabbitMQ lets nobody look for one."""
        task_id = command.task_id
        if name := name_here(task_id):
            return name
        with lists_of(self.app) as lists:
            place = lists.find(self._queues_of(command.queue), task_id) if lists else None
        if place is not None:
            return place.waiting.name
        return ask_workers(self.app, task_id, scheduled=True).name

    def cancel(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Keeps a waiting task from starting; stops a running one only where the host allows."""
        task_id = command.task_id
        if runs_here(task_id):
            return self._terminate(command, "this worker")
        with lists_of(self.app) as lists:
            place = lists.find(self._queues_of(command.queue), task_id) if lists else None
            if lists and place and lists.remove(place):
                self._remember(task_id)
                self._tell_cancelled(command, place)
                return done(command, "Removed the message from its queue: it will not run.")
        found, worker, _name = ask_workers(self.app, task_id)
        if found == "active":
            return self._terminate(command, worker)
        self._remember(task_id)
        revoke(self.app, task_id)
        where = f"Worker {worker} holds it" if worker else "No worker holds it"
        return done(
            command,
            f"{where}; all workers were told to discard it when its turn comes, and workers with "
            "this agent remember it over a restart.",
            verified=False,
        )

    def terminate(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Stops a running task; one that waits is cancelled."""
        if runs_here(command.task_id):
            return self._terminate(command, "this worker")
        return self.cancel(command, call)

    def priority(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The message gets another priority, and so another of its queue's lists."""
        wanted = command.details.priority
        if not MOST_URGENT <= wanted <= LEAST_URGENT:
            raise CommandRefused(
                "invalid", f"On Redis a priority is {MOST_URGENT} (first) to {LEAST_URGENT} (last)."
            )

        def change(properties: dict[str, Any]) -> None:
            properties["priority"] = wanted
            if isinstance(delivery := properties.get("delivery_info"), dict):
                delivery["priority"] = wanted

        with lists_of(self.app) as lists:
            place = self._find(lists, command)
            return self._replaced(
                command, lists, place, place.queue, wanted, change,
                f"It waits in `{place.queue}` with priority {wanted} now, behind others of that "
                "priority; 0 goes first.",
            )  # fmt: skip

    def move(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """The message goes to the end of another queue, with the priority that it has."""
        target = command.details.queue
        if not target:
            raise CommandRefused("invalid", "Name the queue that it is to go to.")
        check_queue(self.app, target)

        def change(properties: dict[str, Any]) -> None:
            delivery = properties.get("delivery_info")
            kept: dict[str, Any] = delivery if isinstance(delivery, dict) else {}
            properties["delivery_info"] = {**kept, "exchange": "", "routing_key": target}

        with lists_of(self.app) as lists:
            place = self._find(lists, command)
            if place.queue == target:
                return done(command, f"It waits in `{target}` already.")
            priority = int(place.waiting.properties.get("priority") or 0)
            return self._replaced(
                command, lists, place, target, priority, change,
                f"Moved from `{place.queue}` to the end of `{target}`. A worker must serve that "
                "queue.",
            )  # fmt: skip

    def reconcile(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Where the task is now, asked of the broker, every worker and the result backend."""
        whereabouts = Whereabouts(self.app, self._queues_of)
        if command.details.tasks:
            return reconcile.together(self.agent, command, whereabouts.of)
        state, where = whereabouts.of([command])[command.task_id]
        state = reconcile.shown(state)
        return done(command, f"Celery says: {state}. {where}", found=reconciled(state, where))

    def _find(self, lists: Lists | None, command: wire.CommandBody) -> Place:
        place = lists.find(self._queues_of(command.queue), command.task_id) if lists else None
        if place is None:
            raise CommandRefused(
                "invalid",
                "The task does not wait in a queue: a worker has taken it already, or it is gone.",
            )
        return place

    def _replaced(
        self,
        command: wire.CommandBody,
        lists: Lists | None,
        place: Place,
        queue: str,
        priority: int,
        change: Any,
        effect: str,
    ) -> wire.CommandDone:
        key = lists.key(queue, priority) if lists else ""
        if lists is None or not lists.replace(place, key, change):
            raise CommandRefused(
                "invalid", "A worker took the task in that moment, so nothing was changed."
            )
        stays_there = lists.find([queue], command.task_id) is not None
        return done(
            command, effect if stays_there else f"{effect} A worker has taken it since.", affected=1
        )

    def _terminate(self, command: wire.CommandBody, worker: str) -> wire.CommandDone:
        if "terminate" not in self.agent.policy.allow:
            raise CommandRefused(
                "refused",
                f"The task is running on {worker}. Stopping it kills its process in the middle of "
                "the work, which this host does not allow: add `terminate` to QUEUEDECK_ALLOW "
                "there and restart the worker.",
            )
        if not can_stop(self.pool):
            raise CommandRefused(
                "unsupported",
                f"The task is running in a {self.pool} pool, which cannot stop a running task. "
                "It will go on to its end.",
            )
        revoke(self.app, command.task_id, terminate=True, signal="SIGTERM")
        is_here = worker == "this worker"
        stopped = is_here and within(lambda: not runs_here(command.task_id), VERIFY_S)
        effect = "Stopped the task's process." if stopped else f"Asked {worker} to stop the task."
        return done(command, effect, verified=stopped)

    def _tell_cancelled(self, command: wire.CommandBody, place: Place) -> None:
        self.agent.recorder.emit(
            wire.TaskCancelled(
                time.time_ns() // 1_000,
                self.source,
                command.task_id,
                place.waiting.attempt,
                "revoked",
                command.task_name,
            )
        )

    def _queues_of(self, queue: str) -> list[str]:
        known = [str(one) for one in self.app.amqp.queues if one != queue]
        return [queue, *known] if queue else known

    def _remember(self, task_id: str) -> None:
        self.agent.cancelled.add([(self.source, task_id)])
        from celery.worker import state

        state.revoked.add(task_id)
