# SPDX-License-Identifier: Apache-2.0
"""What a command may ask for, and what it says. It is signed; `messages.Command` carries it."""

import msgspec

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


class StartSeen(msgspec.Struct, frozen=True, array_like=True):
    """A process that began a task, or took it, as its event said."""

    worker: str
    at_us: int
    pid: int = 0
    """0: not told."""


class AskedTask(msgspec.Struct, frozen=True, array_like=True):
    """One of the tasks that a `reconcile` asks about."""

    task_id: str
    task_name: str = ""
    queue: str = ""
    starts: tuple[StartSeen, ...] = ()
    """Whether these processes live is told with the answer."""


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
    """`retry`, `submit`, `edit`: not before so long from now."""
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
    tasks: tuple[AskedTask, ...] = ()
    """`reconcile`: which tasks, of one source; none: the one of `task_id`."""


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


decode_command_body = msgspec.msgpack.Decoder(CommandBody).decode
