# SPDX-License-Identifier: Apache-2.0
"""What is sent: by producers, by the scheduler for periodic tasks, by tasks, pipelines and chords.

Everything goes through `Huey.enqueue`: what was made here is reported as published, what came from
the broker (a task whose time has come, a retry) only moves on.
"""

import contextvars
import datetime
import os
import socket
import threading
import time
import uuid
from typing import Any, NamedTuple

from queuedeck_agent import request, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.huey import stamp as huey_stamp
from queuedeck_agent.engines.huey.call import Arguments
from queuedeck_agent.engines.huey.stamp import Mark, Stamp

running: contextvars.ContextVar[Any] = contextvars.ContextVar("queuedeck_huey_run", default=None)
"""The execution that goes on in this thread or greenlet."""
group: contextvars.ContextVar[str] = contextvars.ContextVar("queuedeck_huey_group", default="")
"""The group that is being sent; Huey has ids for chords only."""
retry_of: contextvars.ContextVar[str] = contextvars.ContextVar("queuedeck_huey_retry", default="")
"""The task that an operator retries."""


class _Scheduling(threading.local):
    periodic = False


scheduling = _Scheduling()
"""Whether the consumer's scheduler is sending periodic tasks in this thread."""


class Sending(NamedTuple):
    """A task on its way to the storage."""

    mark: Mark
    shown: bytes
    chord: Any


class PublishHooks:
    """For all Huey instances of one source."""

    def __init__(self, agent: Agent, arguments: Arguments) -> None:
        self.agent = agent
        self.arguments = arguments
        self.source = arguments.source

    def before(self, huey: Any, task: Any) -> Sending | None:
        """Nothing is sent yet: the storage may refuse it."""
        known = huey_stamp.mark_of(task)
        if known is not None and known.arrived:
            return None
        shown = self.arguments.show(task)
        run: Any = running.get()
        chord = chord_of(task)
        parent = run.task_id if run is not None and run.task_id != task.id else ""
        stamp = Stamp(
            task.id,
            time.time_ns() // 1_000,
            1,
            bool(shown),
            parent,
            (run.root_id or parent) if parent and run is not None else "",
            chord.cid if chord is not None else group.get(),
        )
        mark = Mark(stamp, arrived=False)
        huey_stamp.put(task, mark)
        return Sending(mark, shown, chord)

    def after(self, huey: Any, task: Any, sending: Sending) -> None:
        """The storage has taken it."""
        stamp, name = sending.mark.stamp, name_of(huey, task)
        sealed = self.arguments.seal(name, task, str(huey.name), sending.mark.data)
        chord = sending.chord
        route, user = request.context()
        self.agent.recorder.emit(
            wire.TaskPublished(
                stamp.at_us,
                self.source,
                task.id,
                1,
                name,
                str(huey.name),
                sending.shown,
                sealed,
                instant_us(task.eta, huey.utc),
                instant_us(task.expires_resolved, huey.utc),
                priority_of(task),
                stamp.parent_id,
                stamp.root_id,
                stamp.group_id,
                retry_of.get(),
                name if scheduling.periodic else "",
                f"{os.getpid()}@{socket.gethostname()}",
                chord_id=str(chord.callback.id) if chord is not None else "",
                route=route,
                user=user,
            )
        )


def new_group() -> str:
    """An id for the members of a `group`."""
    return uuid.uuid4().hex


def chord_of(task: Any) -> Any:
    """The chord that a task is a member of, itself or by the end of its pipeline."""
    for _ in range(1000):
        if task is None:
            break
        config = getattr(task, "chord_config", None)
        if config is not None:
            return config
        task = task.on_complete
    return None


def name_of(huey: Any, task: Any) -> str:
    """The registry's name of a task: module and function."""
    return str(huey._registry.task_to_string(type(task)))


def priority_of(task: Any) -> int:
    """-1 for none."""
    return -1 if task.priority is None else int(task.priority)


def instant_us(value: Any, utc: Any) -> int:
    """Huey's times are naive: UTC, or local if the application wants it so."""
    if not isinstance(value, datetime.datetime):
        return 0
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.timezone.utc) if utc else value.astimezone()
    return int(value.timestamp() * 1_000_000)
