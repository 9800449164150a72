# SPDX-License-Identifier: Apache-2.0
"""The frames of a connection, in both directions, and how it begins."""

import msgspec

PROTOCOL = 1
"""The protocol this code speaks. A server speaks this number and the one before."""

LINK_PATH = "/agent/link"
"""Where the server's WebSocket is, below the server's URL."""

NO_SPOOL = "none"
"""Stands for a spool that no other process can read."""

HEADER_PROTOCOL = "queuedeck-protocol"
"""Header of the upgrade request with the protocol; the key is in `Authorization: Bearer`."""

HEADER_PROJECT = "queuedeck-project"
"""Header of the upgrade request with the project that the DSN names."""

MAX_FRAME_BYTES = 1 << 20
"""A frame beyond this closes the connection: agents split long before."""

MAX_FRAME_EVENTS = 500
"""An agent puts at most this many records into one frame."""


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
    release: str = ""
    """Of the application's code, where it is known."""
    spool_id: str = ""
    """Of the folder that holds its lanes and its mark, 32 hex digits: agents with the same one can
    tell of each other's processes whether they live. `NO_SPOOL` where there is none; empty from
    agents that cannot be asked about several tasks at once."""


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
    rss_bytes: int = 0
    """Resident memory of this process; 0 where the system does not say."""
    children: int = -1
    """Processes that it has started and that still run, as those of a pool; -1: not known."""
    children_rss_bytes: int = 0
    """Resident memory of these together; pages that they share count for each."""


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


decode_agent_message = msgspec.msgpack.Decoder(AgentMessage).decode
decode_server_message = msgspec.msgpack.Decoder(ServerMessage).decode
