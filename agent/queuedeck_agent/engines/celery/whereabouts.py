# SPDX-License-Identifier: Apache-2.0
"""Where tasks are now: asked of the broker, of every worker and of the result backend, once for
all of them. Nothing is changed and no result is taken away.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from queuedeck_agent import wire
from queuedeck_agent.engines import reconcile
from queuedeck_agent.engines.celery.broker import length
from queuedeck_agent.engines.celery.queues import own_connection
from queuedeck_agent.engines.celery.redis import lists_of
from queuedeck_agent.engines.celery.state import ASK_WORKERS_S, Held, runs_here, stored_state

_States = dict[str, tuple[str, str]]
_MANY = "More messages wait than are looked through."
_HELD = (
    "A worker took its message and has not acknowledged it. If that worker is gone, Redis gives it "
    "out again once the visibility timeout of {seconds} s is over."
)
_GONE = "No queue, no worker that answered and no result backend knows it."


class Whereabouts:
    """For one application."""

    def __init__(self, app: Any, queues_of: Callable[[str], list[str]]) -> None:
        self._app = app
        self._queues_of = queues_of

    def of(self, commands: Sequence[wire.CommandBody]) -> _States:
        """(state, in words) of each task."""
        left = {one.task_id: one for one in commands}
        found: _States = {}
        for look in (self._here, self._in_lists, self._at_workers, self._stored, self._unacked):
            if left:
                new = look(left)
                found |= new
                left = {key: one for key, one in left.items() if key not in new}
        return found | {key: self._perhaps(one) for key, one in left.items()}

    def _here(self, left: dict[str, wire.CommandBody]) -> _States:
        return {key: ("running", "On this worker.") for key in left if runs_here(key)}

    def _in_lists(self, left: dict[str, wire.CommandBody]) -> _States:
        with lists_of(self._app) as lists:
            places = lists.find_all(self._queues(left), set(left)) if lists else {}
        return {key: ("queued", f"Its message is in queue `{at}`.") for key, at in places.items()}

    def _at_workers(self, left: dict[str, wire.CommandBody]) -> _States:
        found: _States = {}
        for key, held in _ask_workers(self._app, set(left)):
            if held.place == "active":
                found[key] = "running", f"On worker {held.worker}."
            elif held.place == "scheduled":
                found.setdefault(
                    key, ("scheduled", f"Worker {held.worker} holds it until it is due.")
                )
            else:
                found.setdefault(
                    key, ("queued", f"Worker {held.worker} holds it; it has not started.")
                )
        return found

    def _stored(self, left: dict[str, wire.CommandBody]) -> _States:
        ended = {key: stored_state(self._app, key) for key in left}
        return {
            key: (one[0], f"Its result backend says {one[1]}.") for key, one in ended.items() if one
        }

    def _unacked(self, left: dict[str, wire.CommandBody]) -> _States:
        """Of a task that is acknowledged late, and of one that was only fetched."""
        with lists_of(self._app) as lists:
            if lists is None:
                return {}
            held, timeout = lists.unacked(set(left)), lists.visibility_s
        return {key: ("queued", _HELD.format(seconds=timeout)) for key in held}

    def _perhaps(self, command: wire.CommandBody) -> tuple[str, str]:
        """Nobody knows it. On Redis that is certain, where all could be looked through."""
        with lists_of(self._app) as lists:
            if lists is not None:
                queues = self._queues_of(command.queue)
                return (reconcile.UNKNOWN, _MANY) if lists.are_long(queues) else ("gone", _GONE)
        waiting = length(self._app, command.queue) if command.queue else 0
        if waiting > 0:
            return (
                "queued",
                f"Perhaps: RabbitMQ lets nobody look for one message, and {waiting} wait in "
                f"`{command.queue}`. No worker that answered has it.",
            )
        return "gone", _GONE

    def _queues(self, left: dict[str, wire.CommandBody]) -> list[str]:
        names = (name for one in left.values() for name in self._queues_of(one.queue))
        return list(dict.fromkeys(names))


def _ask_workers(app: Any, task_ids: set[str]) -> Iterator[tuple[str, Held]]:
    """What workers hold of these; one that is asked answers within a second or not at all."""
    with own_connection(app) as connection:
        asked = app.control.inspect(timeout=ASK_WORKERS_S, connection=connection)
        seen: set[str] = set()
        for worker, found in (asked.query_task(list(task_ids)) or {}).items():
            for task_id, (place, _about) in found.items():
                seen.add(task_id)
                yield task_id, Held(str(place), str(worker))
        if seen >= task_ids:
            return
        for worker, found in (asked.scheduled() or {}).items():
            for one in found:
                task_id = str((one.get("request") or {}).get("id"))
                if task_id in task_ids and task_id not in seen:
                    yield task_id, Held("scheduled", str(worker))
