# SPDX-License-Identifier: AGPL-3.0-only
"""Tasks as they are read back: in a list, one with all that is known of it, and those that are
acted on. Structs only.
"""

from enum import StrEnum

import msgspec


class TaskState(StrEnum):
    """The eight states of every engine, in the order a task can travel them."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


FINAL_STATES = frozenset(
    {TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.LOST}
)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a task is, as its own code has told last."""

    attempt: int
    at_us: int
    current: float
    total: float | None
    """None: not known."""
    message: str


class LoggedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a logger wrote while the attempt ran."""

    at_us: int
    level: int
    """10 debug, 20 info, 30 warning, 40 error, 50 critical."""
    logger: str
    text: str


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list."""

    key: int
    """The store's own id: `day << 40 | counter`. Newer rows have greater keys."""
    engine: str
    source: str
    """Fingerprint of the source."""
    source_name: str
    task_id: str
    generation: int
    """Which of the tasks that the id has named, from 1. In lists only of those within a few days,
    so it names no task: `key` does.
    """
    name: str
    queue: str
    worker: str
    state: TaskState
    attempt: int
    """The newest attempt known; 0 while none has started."""
    priority: int | None
    seen_us: int
    """When the first fact about the task happened."""
    published_us: int | None
    started_us: int | None
    """Start of the newest attempt."""
    finished_us: int | None
    eta_us: int | None
    wait_us: int | None
    """Time between being due and starting; None when unknown, never negative."""
    run_us: int | None
    """Run time of the newest finished attempt."""
    exception: str
    message: str
    """First line of the newest error, or empty."""
    args_preview: str
    """First 120 characters of the redacted arguments as `a, b, key=value`."""
    cancel_requested: bool
    retry_of: str
    retried_as: str
    tags: tuple[str, ...] = ()
    progress: Progress | None = None
    label: str = ""
    """Its second name, by a rule of the project from its arguments."""
    mark: str = ""
    """The title of the rule that its result fits, or empty. It succeeded all the same."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    state: TaskState
    worker: str
    started_us: int | None
    finished_us: int | None
    run_us: int | None
    next_us: int | None
    """When the next attempt was due, for one that ended in a retry."""
    exception: str
    message: str
    traceback: str
    times_started: int
    """More than 1: the broker delivered the same attempt again."""
    conflicting: bool
    """Two different outcomes were reported for this attempt; the state rules chose one."""
    trace_id: str = ""
    lines: tuple[LoggedLine, ...] = ()
    """Of the log, oldest first."""
    lines_left_out: int = 0
    """Lines beyond the limits of agent and server."""


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    at_us: int
    kind: str
    """The tag of the event, for example `task-started`."""
    attempt: int
    worker: str
    detail: str


class TaskDetail(msgspec.Struct, frozen=True, kw_only=True):
    row: TaskRow
    attempts: list[Attempt]
    """Newest first."""
    timeline: list[TimelineEntry]
    """Oldest first."""
    args: bytes
    """Redacted JSON `{"args": [...], "kwargs": {...}}`, or empty when not captured."""
    result: bytes
    seal_id: str
    """Id of the key that opens the sealed call; empty when there is none."""
    sealed_bytes: int
    parent_id: str
    root_id: str
    group_id: str
    schedule: str
    origin: str
    route: str
    """The web request that published it, for example `POST /orders/{id}`."""
    user: str
    """The id of that request's user, where the application tells it."""
    exchange: str
    routing_key: str
    expires_us: int | None
    release: str
    generations: int
    """How many tasks this id has named; this is one of them."""


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    tasks: list[TaskRow]
    after: str
    """Opaque cursor of the next, older page; empty when this is the last."""
    complete: bool = True
    """False: the search stopped at its budget; `after` goes on from there."""
    back_to_us: int | None = None
    """How far it looked when it is not complete: the time of the oldest task looked at."""


class SelectedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation must know of a task to decide about it."""

    key: int
    engine: str
    source: str
    source_name: str
    task_id: str
    name: str
    queue: str
    state: TaskState
    attempt: int
    has_call: bool
    """Its sealed original call is stored."""
    retried_as: str
    """The newest task that an operator's retry of it made, or empty."""


class TaskSample(msgspec.Struct, frozen=True, kw_only=True):
    """What rules about arguments and results are tried on. Both redacted; empty: not captured."""

    key: int
    engine: str
    task_id: str
    name: str
    args: bytes
    result: bytes


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """A portion of the tasks that match, newest first."""

    tasks: list[SelectedTask]
    after: str
    """Goes on from here, also where a portion is empty; empty: these were the last."""
