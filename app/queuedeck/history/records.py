# SPDX-License-Identifier: AGPL-3.0-only
"""What goes into the history store and what comes out: frozen structs, no driver, no SQL."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from queuedeck.history.facts import TaskChecked
from queuedeck.history.labels import Labels
from queuedeck.history.ranges import Between, Period
from queuedeck_agent import wire


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


# --- In ---------------------------------------------------------------------------------------


class Poison(msgspec.Struct, frozen=True):
    """A record that could not be decoded: kept, shown and acknowledged, never retried."""

    raw: bytes
    error: str
    numbers: int = 1
    """For how many numbers of its lane it stands: more for a `Loss` that could not be read."""


class Batch(msgspec.Struct, frozen=True):
    """Consecutive records of one lane, decoded. Numbers run from `first` to `last`."""

    project_id: int
    lane: str
    agent_id: str
    first: int
    last: int
    events: Sequence[wire.AnyEvent | TaskChecked | Poison]
    """In lane order. A `Loss` stands for `count` numbers, everything else for one."""
    labels: Labels | None = None
    """The project's rules; None: it has none."""


class Recorded(msgspec.Struct, frozen=True):
    """What one committed group changed."""

    committed: dict[str, int]
    """For each lane of the group, the last number now on disk."""
    expected: dict[str, int]
    """Lanes whose batch did not begin where the lane ends, and was not stored: send after these."""
    tasks: dict[int, set[tuple[str, str]]]
    """Project id -> (engine, task id) of the tasks that changed."""
    refused: frozenset[tuple[int, str]] = frozenset()
    """(project id, lane) where the lane belongs to another project: nothing of it was stored."""


# --- Out --------------------------------------------------------------------------------------


class PathTerm(msgspec.Struct, frozen=True):
    """A value inside arguments or results."""

    part: str
    """`args` or `result`."""
    path: tuple[str, ...]
    """Keys and positions, `*` for any; empty: anywhere."""
    values: tuple[str, ...]
    """Any of these, as text, or patterns with `*`."""
    is_negated: bool = False


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed question. Empty fields do not restrict; all that are given must hold.

    In each field any of the values will do, except `texts` and `paths`, of which each must be
    found. What a `not_` field holds is exactly what the field without it would not find.
    """

    states: tuple[TaskState, ...] = ()
    names: tuple[str, ...] = ()
    """Exact task names, or patterns with `*`; so are labels, queues, workers, errors, releases."""
    labels: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Fingerprints or names of sources."""
    workers: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    """Types of the newest error. Without a dot, the last part of the type will do."""
    groups: tuple[str, ...] = ()
    """Fingerprints of failure groups, 16 hex digits: that of the newest failed attempt."""
    releases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """What tasks' own code put on them, or patterns with `*`."""
    traces: tuple[str, ...] = ()
    """Ids of OpenTelemetry's traces."""
    marked: tuple[str, ...] = ()
    """`yes` or `no`: whether a rule marked the task."""
    ids: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    """Ids of first tasks of workflows; the first task itself is found too."""
    waits: tuple[Between, ...] = ()
    """Microseconds."""
    runtimes: tuple[Between, ...] = ()
    """Microseconds."""
    retries: tuple[Between, ...] = ()
    """Attempts beyond the first."""
    times: tuple[Period, ...] = ()
    """When the first fact about the task happened."""
    not_states: tuple[TaskState, ...] = ()
    not_names: tuple[str, ...] = ()
    not_labels: tuple[str, ...] = ()
    not_queues: tuple[str, ...] = ()
    not_engines: tuple[str, ...] = ()
    not_sources: tuple[str, ...] = ()
    not_workers: tuple[str, ...] = ()
    not_errors: tuple[str, ...] = ()
    not_groups: tuple[str, ...] = ()
    not_releases: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    not_traces: tuple[str, ...] = ()
    not_marked: tuple[str, ...] = ()
    not_ids: tuple[str, ...] = ()
    not_roots: tuple[str, ...] = ()
    not_waits: tuple[Between, ...] = ()
    not_runtimes: tuple[Between, ...] = ()
    not_retries: tuple[Between, ...] = ()
    not_times: tuple[Period, ...] = ()
    paths: tuple[PathTerm, ...] = ()
    texts: tuple[str, ...] = ()
    """Part of a task name, the beginning of an id, or of a word in arguments or errors."""
    not_texts: tuple[str, ...] = ()


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


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one project, exact."""

    events: int
    lost: int
    """Events that agents had to drop, by their own `Loss` records."""
    quarantined: int
    states: dict[str, dict[str, int]]
    """engine -> state -> number of tasks."""
    newest_us: int | None
    """When the newest event happened."""


# --- Counts over time -------------------------------------------------------------------------


class TrendFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts are counted. Empty fields do not restrict. A worker stands alone."""

    task: str = ""
    queue: str = ""
    engine: str = ""
    release: str = ""
    worker: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of durations in microseconds, at most 1/32 off; None when none was measured."""

    n: int = 0
    """How many were measured."""
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in some time: publications, and attempts by how they ended."""

    arrived: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    """Attempts that failed and were to be repeated by the engine."""
    cancelled: int = 0
    lost: int = 0
    busy_us: int = 0
    """Sum of the run times: how long workers were busy."""
    wait: Spread = Spread()
    run: Spread = Spread()

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.retried + self.cancelled + self.lost

    @property
    def failing(self) -> int:
        """Attempts that went wrong, whether they were repeated or not."""
        return self.failed + self.retried + self.lost


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of equal steps, oldest first, and of all of them together."""

    since_us: int
    step_us: int
    points: list[Counts]
    total: Counts


class TaskTrend(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one task name. An empty name stands for tasks that nobody named."""

    name: str
    counts: Counts


class TaskTrends(msgspec.Struct, frozen=True, kw_only=True):
    tasks: list[TaskTrend]
    """Those with most attempts, or most trouble, first."""
    more: int
    """How many names are left out."""
    other: int
    """Attempts of names beyond the bound of the store, which are in no line."""


class TaskOrder(StrEnum):
    """By what a list of task names is sorted, greatest first."""

    ENDED = "ended"
    FAILING = "failing"
    SHARE = "share"
    """Share of attempts that went wrong."""
    BUSY = "busy"


class FailureOrder(StrEnum):
    LAST = "last"
    COUNT = "count"
    FIRST = "first"


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Failed attempts that are the same failure."""

    id: int
    fingerprint: str
    """16 hex digits, the same for the same failures on every server: `group:` of a filter."""
    exception: str
    message: str
    """Without what differs each time."""
    culprit: str
    """Innermost frame of the application; empty when not known."""
    first_us: int
    last_us: int
    attempts: int
    """How many attempts failed so."""
    tasks: int
    """How many tasks they belong to."""
    recovered: int
    """How many of these tasks succeeded in the end."""
    names: list[tuple[str, int]]
    """Task names with their attempts, most first."""
    recent: list[int]
    """Attempts per hour of the last 24 hours, oldest first."""


class FailureOf(msgspec.Struct, frozen=True):
    """The failure group of one task's newest failed attempt."""

    group: int
    fingerprint: str
    recent: int
    """How many attempts failed so in the last day in which any did."""


class FailureGroups(msgspec.Struct, frozen=True, kw_only=True):
    groups: list[FailureGroup]
    total: int
    """How many groups the project has."""


class FailureDetail(msgspec.Struct, frozen=True, kw_only=True):
    group: FailureGroup
    since_us: int
    hours: list[int]
    """Attempts per hour from `since_us`."""
    queues: list[tuple[str, int]]
    releases: list[tuple[str, int]]
    tasks: list[TaskRow]
    """The newest tasks with this failure that are still kept."""
    sample: Attempt | None
    """The newest attempt that failed so, of the first of `tasks`."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days, today included, a project keeps less than the server does."""

    project_id: int
    task_days: int
    payload_days: int
    """Arguments, results, tracebacks, sealed calls."""


class DayUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the tasks of one project take on disk that were filed under one day."""

    day: int
    """Days since the epoch, UTC."""
    tasks: int
    bytes: int
    """Estimated when they were written."""
