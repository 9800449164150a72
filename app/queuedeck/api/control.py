# SPDX-License-Identifier: AGPL-3.0-only
"""How programs see commands on queues and workers: with what they touched and what they found."""

from typing import Any

import msgspec

from queuedeck.domain.commands.queries import CommandSeen

_SAME = (
    "id", "verb", "engine", "source", "queue", "task_name", "code", "message", "effect", "verified",
    "affected", "requested_by", "audit_seq", "agent_id", "created_us", "deadline_us", "sent_us",
    "finished_us",
)  # fmt: skip


class ControlCommand(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    verb: str
    engine: str
    source: str
    queue: str
    """Empty where it is about a worker."""
    worker: str
    """The engine's own name of it; empty where it is about a queue."""
    task_name: str
    state: str
    """pending, sent, done, failed, expired or unknown."""
    code: str
    message: str
    effect: str
    verified: bool
    """False: asked for, and the effect was not seen yet."""
    affected: int
    """Messages that it touched; -1: not counted."""
    found: Any
    """What `peek` and `dead` saw, redacted by the agent; null for others."""
    requested_by: str
    audit_seq: int
    agent_id: str
    created_us: int
    deadline_us: int
    sent_us: int | None
    finished_us: int | None


class ControlAnswer(msgspec.Struct, frozen=True):
    command: ControlCommand


def control_command(command: CommandSeen) -> ControlCommand:
    return ControlCommand(
        **{name: getattr(command, name) for name in _SAME},
        worker=command.details.worker,
        state=command.state.value,
        found=_found(command.found),
    )


def _found(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
