# SPDX-License-Identifier: Apache-2.0
"""Every message that agent and server exchange, and nothing else.

Rules of this file: structs are arrays on the wire, so the order of fields is the contract. Append
fields, with defaults; never reorder, rename a tag or remove. Times are integers, microseconds since
the epoch in UTC (`_us`); durations are integer microseconds too. A new kind is a new tag: the other
side stores or answers what it does not know and goes on. Only msgspec and the standard library are
imported here, because the server imports this module as well.
"""

import msgspec

PROTOCOL = 1
"""The protocol this code speaks. A server speaks this number and the one before."""

LINK_PATH = "/agent/link"
"""Where the server's WebSocket is, below the server's URL."""

HEADER_PROTOCOL = "queuedeck-protocol"
"""Header of the upgrade request with the protocol; the key is in `Authorization: Bearer`."""

HEADER_PROJECT = "queuedeck-project"
"""Header of the upgrade request with the project that the DSN names."""

MAX_FRAME_BYTES = 1 << 20
"""A frame beyond this closes the connection: agents split long before."""

MAX_FRAME_EVENTS = 500
"""An agent puts at most this many records into one frame."""


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
)


# --- Agent to server -------------------------------------------------------------------------


class Capability(msgspec.Struct, frozen=True, array_like=True):
    """What an adapter says about one verb."""

    verb: str
    how: str
    """`native`, `emulated` or `none`."""
    reason: str = ""
    """Why not, or what the emulation means. Shown to the operator as it stands."""


class EngineInfo(msgspec.Struct, frozen=True, array_like=True):
    """One engine that the agent is attached to."""

    engine: str
    version: str
    source: str
    role: str
    """`worker`, `scheduler` or `producer`."""
    worker: str = ""
    """The engine's own name of this worker, for example `celery@host`."""
    pool: str = ""
    slots: int = 0
    queues: tuple[str, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    tasks: tuple[str, ...] = ()
    """Names of the registered tasks, sorted, at most 1,000."""
    counts: bool = False
    """Whether the agent can count what waits in the queues of this source."""
    no_counts: str = ""
    """If not: why. Shown to the operator as it stands; empty from agents that do not say."""
    findings: tuple[str, ...] = ()
    """Settings of this worker that can hurt, a sentence each with what to do."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The agent's first frame, and again whenever what it says has changed."""

    agent_id: str
    """Random per link (per family of processes), 32 hex digits."""
    version: str
    host: str
    pid: int
    nonce: bytes
    """16 random bytes for this connection; commands must repeat them."""
    python: str = ""
    engines: tuple[EngineInfo, ...] = ()
    allow: tuple[str, ...] = ()
    """The host's policy: the verbs this agent will carry out."""
    seal_ids: tuple[str, ...] = ()
    """Ids of the sealing keys that this agent can open."""
    lanes: tuple[tuple[str, int], ...] = ()
    """(lane, first unacknowledged number) of each lane it ships."""
    checkpoint: str = ""
    """The newest audit checkpoint that this agent has seen, or empty."""
    clock_us: int = 0
    started_us: int = 0
    spool: str = "disk"
    """`disk`, or `memory` when events are lost if the process dies."""
    warnings: tuple[str, ...] = ()
    """What the operator should know, for example an engine version that was not tested."""


class LanePart(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive records of one lane."""

    lane: str
    """Random id of the spool file, 32 hex digits. (lane, number) is an event's only identity."""
    last: int
    """Number of the last record here. The first is derived: a `Loss` counts for `count` numbers."""
    events: list[msgspec.Raw]


class Frame(msgspec.Struct, frozen=True, array_like=True, tag="frame"):
    parts: list[LanePart]


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    clock_us: int
    captured: int = 0
    lost: int = 0
    backlog_bytes: int = 0
    """Bytes in the spool that are not acknowledged."""
    hook_p99_us: int = 0


class QueueDepth(msgspec.Struct, frozen=True, array_like=True):
    """One queue as its broker has it. -1 stands for what the broker does not know."""

    name: str
    waiting: int = -1
    """Messages that could be taken now."""
    scheduled: int = -1
    """Messages that are due later."""
    taken: int = -1
    """Messages that workers have taken and not finished, prefetched ones included."""
    dead: int = -1
    """Messages that were given up and are kept."""
    oldest_us: int = 0
    """Since when the message that is next has waited; 0 if it does not say."""
    consumers: int = -1


class QueueSnapshot(msgspec.Struct, frozen=True, array_like=True, tag="queue-snapshot"):
    """The queues of one source at this moment. Not spooled: the next one replaces it."""

    at_us: int
    source: str
    queues: tuple[QueueDepth, ...] = ()
    trouble: str = ""
    """Why they could not be read now; then there are none."""


class Parameter(msgspec.Struct, frozen=True, array_like=True):
    """One parameter of a task's function, as far as its callers give it."""

    name: str
    kind: str
    """`positional` (by its place only), `either`, `named` (by its name only), `places` (`*args`)
    or `names` (`**kwargs`)."""
    required: bool = False
    default: str = ""
    """JSON of the default; empty where there is none, or where it is not plain, or hidden."""
    annotation: str = ""
    """As it stands in the code."""


class TaskInfo(msgspec.Struct, frozen=True, array_like=True):
    """One registered task: what its function says of itself, and the application of it."""

    name: str
    doc: str = ""
    """The first paragraph of the docstring."""
    module: str = ""
    queue: str = ""
    """Where it goes unless told otherwise; empty where only the application's code knows."""
    parameters: tuple[Parameter, ...] = ()
    has_signature: bool = False
    """False: the parameters are not known."""
    max_retries: int = -1
    """-1: not known, or without end."""
    time_limit_us: int = 0
    rate: str = ""
    """In the engine's own terms."""


class TaskCatalog(msgspec.Struct, frozen=True, array_like=True, tag="task-catalog"):
    """The tasks that are registered for one source. Not spooled: sent once on each connection, and
    again when it has changed; replaces what was sent before."""

    source: str
    tasks: tuple[TaskInfo, ...] = ()
    left_out: int = 0
    """So many more did not fit."""


AgentMessage = Hello | Frame | Heartbeat | QueueSnapshot | TaskCatalog


# --- Server to agent -------------------------------------------------------------------------


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    protocol: int
    project: str
    credit_bytes: int
    """How many bytes of frames the agent may have unacknowledged; a later `Credit` changes it."""
    command_key: bytes
    """The server's Ed25519 public key for commands, 32 bytes."""
    command_cert: bytes
    """The root key's signature over `COMMAND_KEY_CONTEXT + command_key`."""
    committed: dict[str, int] = {}
    """For each lane of the hello: the last number the server has. Delete up to it, go on after."""
    cancelled: tuple[tuple[str, str], ...] = ()
    """(source, task id) of waiting tasks that were cancelled and must not start."""
    clock_us: int = 0
    checkpoint: str = ""


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack"):
    """Everything up to these numbers is committed to disk. Cumulative: a lost ack does no harm."""

    committed: dict[str, int]


class Nack(msgspec.Struct, frozen=True, array_like=True, tag="nack"):
    """A part did not begin where the lane ends: send again after these numbers."""

    expected: dict[str, int]


class Credit(msgspec.Struct, frozen=True, array_like=True, tag="credit"):
    credit_bytes: int


class Command(msgspec.Struct, frozen=True, array_like=True, tag="command"):
    """A signed order. The signature covers the exact bytes of `body`."""

    body: bytes
    """A msgpack `CommandBody`."""
    signature: bytes
    """Ed25519 over `COMMAND_CONTEXT + body`."""


class Goodbye(msgspec.Struct, frozen=True, array_like=True, tag="goodbye"):
    """The server closes: try again after so many seconds."""

    reason: str
    retry_after_s: int = 0


class Watch(msgspec.Struct, frozen=True, array_like=True):
    """A source to look at, and names of queues beside those that the agent itself consumes."""

    source: str
    queues: tuple[str, ...] = ()


class Observe(msgspec.Struct, frozen=True, array_like=True, tag="observe"):
    """Send a `QueueSnapshot` of each of these sources every so many seconds, and of no others.
    Replaces what was asked before on this connection; a connection begins with none."""

    sources: tuple[Watch, ...]
    every_s: int = 5


ServerMessage = Welcome | Ack | Nack | Credit | Command | Goodbye | Observe


VERBS: dict[str, str] = {
    # of one task
    "retry": "retry",
    "edit": "submit",
    "cancel": "cancel",
    "terminate": "terminate",
    "priority": "priority",
    "move": "move",
    "requeue": "retry",
    "reconcile": "observe",
    # of a name
    "submit": "submit",
    # of a queue
    "purge": "purge",
    "pause": "pause",
    "resume": "pause",
    "peek": "observe",
    "dead": "observe",
    # of a worker
    "pool": "worker",
    "rate": "worker",
    "drain": "worker",
    "undrain": "worker",
    "restart": "worker",
}
"""What a command may ask for, and the word in the host's QUEUEDECK_ALLOW that permits it."""


class CommandDetails(msgspec.Struct, frozen=True, array_like=True):
    """What some verbs need beside their task, queue or worker."""

    args: bytes = b""
    """`edit`, `submit`: JSON `{"args": [...], "kwargs": {...}}`. For `edit` with a sealed call,
    what equals the redacted arguments stands for the original value there."""
    queue: str = ""
    """`move`: the queue to move to; `submit`, `edit`: another than the task's own."""
    priority: int = -1
    """`priority`, `submit`, `edit`, in the engine's own scale; -1: none."""
    delay_s: int = 0
    """`submit`, `edit`: not before so long from now."""
    worker: str = ""
    """The engine's own name of the worker that it is about."""
    amount: int = 0
    """`pool`: slots to add, or to take away when negative; `peek`, `dead`: how many at most."""
    rate: str = ""
    """`rate`: in the engine's own terms, `10/m`; empty takes the limit away."""
    for_s: int = 0
    """`pause`: resumes by itself so many seconds after receipt; 0: not by itself."""
    reason: str = ""
    """Why, in the operator's words, for the host's log."""
    ids: tuple[str, ...] = ()
    """`requeue`: which dead letters; none: the one of `task_id`."""


class CommandBody(msgspec.Struct, frozen=True, array_like=True):
    """What a command asks for, and all that ties it to one agent, one connection, one act."""

    command_id: str
    agent_id: str
    nonce: bytes
    """The nonce of the agent's `Hello` on this connection."""
    project: str
    verb: str
    """One of `VERBS`."""
    source: str
    task_id: str
    """Empty where it is about a name, a queue or a worker."""
    task_name: str
    ttl_s: int
    """Seconds from receipt after which the agent must not act any more. No clock takes part."""
    attempt: int = 0
    queue: str = ""
    sealed: bytes = b""
    """For `retry` and `edit`: the sealed original call, as the agent sent it."""
    audit_seq: int = 0
    """The audit entry that recorded who asked for it."""
    actor: str = ""
    """Who asked, for the host's own log."""
    details: CommandDetails = CommandDetails()


COMMAND_CONTEXT = b"queuedeck-command-v1\x00"
COMMAND_KEY_CONTEXT = b"queuedeck-command-key-v1\x00"


# --- Coders ----------------------------------------------------------------------------------

encode = msgspec.msgpack.Encoder().encode
"""Any struct of this file to bytes."""

decode_event = msgspec.msgpack.Decoder(AnyEvent).decode
decode_agent_message = msgspec.msgpack.Decoder(AgentMessage).decode
decode_server_message = msgspec.msgpack.Decoder(ServerMessage).decode
decode_command_body = msgspec.msgpack.Decoder(CommandBody).decode
