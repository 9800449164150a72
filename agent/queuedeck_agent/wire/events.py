# SPDX-License-Identifier: Apache-2.0
"""The records of a lane: facts about tasks, about commands and about the agent itself."""

import msgspec


class Event(msgspec.Struct, frozen=True, array_like=True, tag_field="kind"):
    """A fact about a task, or about the agent, in the past tense. A lane's record is one."""

    at_us: int
    """When it happened, by the clock of the process that saw it."""


class SourceSeen(Event, frozen=True, array_like=True, tag="source-seen"):
    """Names a source: one engine on one broker and namespace. Written once per lane, before use."""

    source: str
    """Fingerprint without secrets, 12 hex digits: the same on every host that uses that broker."""
    engine: str
    name: str
    """What a person reads, for example `redis://broker.internal:6379/0`; never a password."""
    version: str = ""
    """The version of the engine."""


class TaskEvent(Event, frozen=True, array_like=True):
    """The fields that every fact about a task begins with."""

    source: str
    task_id: str
    """The engine's own id."""
    attempt: int
    """1 for the first execution; the engine's retries count up."""


class TaskPublished(TaskEvent, frozen=True, array_like=True, tag="task-published"):
    """Somebody handed the task to the broker."""

    name: str
    queue: str = ""
    args: bytes = b""
    """Redacted and capped arguments: JSON `{"args": [...], "kwargs": {...}}`, or empty."""
    sealed: bytes = b""
    """The original call, readable only with the sealing key; empty if too large or not captured."""
    eta_us: int = 0
    expires_us: int = 0
    priority: int = -1
    """-1: the engine or the caller gave none."""
    parent_id: str = ""
    root_id: str = ""
    group_id: str = ""
    retry_of: str = ""
    """The task id that an operator retried, when this task is that retry."""
    schedule: str = ""
    """The name of the schedule that fired it."""
    origin: str = ""
    """The process that published, `pid@host`."""
    exchange: str = ""
    routing_key: str = ""
    chord_id: str = ""
    """The task id of the chord body that waits for this task."""
    route: str = ""
    """The web request that published it, for example `POST /orders/{id}`: never with values."""
    user: str = ""
    """The id of that request's user, redacted; only where the application asks for it."""


class TaskReceived(TaskEvent, frozen=True, array_like=True, tag="task-received"):
    """A worker took the message; it has not started. Arguments are never captured here."""

    name: str
    worker: str
    queue: str = ""
    eta_us: int = 0


class TaskStarted(TaskEvent, frozen=True, array_like=True, tag="task-started"):
    """An attempt began. Carries what `TaskPublished` would, if the publisher had no agent."""

    name: str
    worker: str
    queue: str = ""
    args: bytes = b""
    sealed: bytes = b""
    published_us: int = 0
    """When the publisher stamped the message; 0 if it had no agent. Gives the waiting time."""
    parent_id: str = ""
    root_id: str = ""
    group_id: str = ""
    redelivered: bool = False
    release: str = ""
    eta_us: int = 0
    pid: int = 0
    """The process that runs it; the one that watches over it where each task has its own."""


class TaskSucceeded(TaskEvent, frozen=True, array_like=True, tag="task-succeeded"):
    run_us: int
    result: bytes = b""
    """Redacted and capped JSON of the return value."""
    name: str = ""
    worker: str = ""


class TaskFailed(TaskEvent, frozen=True, array_like=True, tag="task-failed"):
    """The attempt ended with an exception and the engine will not run it again by itself."""

    exception: str
    """Qualified name of the exception type."""
    message: str = ""
    """Redacted and capped."""
    traceback: str = ""
    """Redacted and capped, innermost frame last, as Python prints it."""
    run_us: int = -1
    """-1: not known."""
    reason: str = "error"
    """`error`, `timeout` (a time limit of the engine) or `rejected` (refused without running)."""
    name: str = ""
    worker: str = ""


class TaskRetrying(TaskEvent, frozen=True, array_like=True, tag="task-retrying"):
    """The attempt ended and the engine will run another, numbered one higher."""

    exception: str
    message: str = ""
    traceback: str = ""
    run_us: int = -1
    next_us: int = 0
    """When the next attempt is due; 0 if the engine does not say."""
    name: str = ""
    worker: str = ""


class TaskCancelled(TaskEvent, frozen=True, array_like=True, tag="task-cancelled"):
    reason: str = "revoked"
    """`revoked`, `terminated` (stopped while it ran), `expired` or `ignored`."""
    name: str = ""
    worker: str = ""


class TaskLost(TaskEvent, frozen=True, array_like=True, tag="task-lost"):
    """The process that ran the attempt vanished: the outcome is unknown."""

    message: str = ""
    name: str = ""
    worker: str = ""


class TaskProgressed(TaskEvent, frozen=True, array_like=True, tag="task-progressed"):
    """How far a running attempt is, as its own code says. Like the three below it is an extra: it
    says nothing about the state."""

    current: float
    total: float = -1.0
    """-1: not known."""
    message: str = ""
    """Redacted and capped."""


class TaskTagged(TaskEvent, frozen=True, array_like=True, tag="task-tagged"):
    """The task's own code has put tags on it. They add up, over all attempts."""

    tags: tuple[str, ...]


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One call of a logger while the attempt ran, in its thread or context."""

    at_us: int
    level: int
    """As Python's logging has it: 10 debug, 20 info, 30 warning, 40 error, 50 critical."""
    logger: str
    text: str
    """Redacted and capped; the traceback, if there is one, stands below the message."""


class TaskLogged(TaskEvent, frozen=True, array_like=True, tag="task-logged"):
    """Lines of the log of a running attempt, oldest first."""

    first: int
    """Number of the first line in this run of the attempt, from 1; they count on from there."""
    lines: tuple[LogLine, ...] = ()
    left_out: int = 0
    """So many lines of this run did not fit its limits: told once, when it ends."""


class TaskTraced(TaskEvent, frozen=True, array_like=True, tag="task-traced"):
    """The attempt runs inside of a span of OpenTelemetry."""

    trace_id: str
    """32 hex digits."""
    span_id: str = ""
    """16 hex digits."""


class Loss(Event, frozen=True, array_like=True, tag="loss"):
    """Stands in a lane for `count` records that had to be dropped; its own number is the last."""

    count: int
    kinds: dict[str, int]
    """How many of each kind (tag) were dropped; the values add up to `count`."""
    reason: str = "spool full"


class CommandDone(Event, frozen=True, array_like=True, tag="command-done"):
    """The command was carried out and its effect verified as far as `effect` says."""

    command_id: str
    effect: str = ""
    """One sentence for the operator: what was done, in the engine's own terms."""
    new_task_id: str = ""
    """The task that a retry created."""
    verified: bool = True
    """False: asked for, but the effect will only show later (`requested` is not `done`)."""
    affected: int = -1
    """How many messages or tasks it touched; -1 where that is not counted."""
    found: bytes = b""
    """Redacted and capped JSON of what `peek`, `dead` or `reconcile` saw."""


class CommandFailed(Event, frozen=True, array_like=True, tag="command-failed"):
    command_id: str
    code: str
    """`refused` (policy), `rate` (the host's limit a minute is reached: nothing was done),
    `invalid`, `expired`, `unsupported`, `error` or `unknown` (the agent died while it acted).
    Nothing is repeated by itself."""
    message: str = ""
    """What happened, why, and what to do next."""


AnyEvent = (
    SourceSeen
    | TaskPublished
    | TaskReceived
    | TaskStarted
    | TaskSucceeded
    | TaskFailed
    | TaskRetrying
    | TaskCancelled
    | TaskLost
    | Loss
    | CommandDone
    | CommandFailed
    | TaskProgressed
    | TaskTagged
    | TaskLogged
    | TaskTraced
)


decode_event = msgspec.msgpack.Decoder(AnyEvent).decode
