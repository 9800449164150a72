# SPDX-License-Identifier: AGPL-3.0-only
"""Reads the outbox."""

from enum import StrEnum

import msgspec
from sqlalchemy import Select, select

from queuedeck.db.engine import ControlDb
from queuedeck.domain.commands.models import Command
from queuedeck.errors import NotFound
from queuedeck_agent import wire


class CommandState(StrEnum):
    """Where a command is on its way."""

    PENDING = "pending"
    """Waits for an agent that can do it."""
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    """No agent took it before its deadline: nothing was done."""
    UNKNOWN = "unknown"
    """An agent took it and never answered: it may have been done. Never repeated by itself."""


NO_DETAILS = wire.CommandDetails()
OPEN_STATES = (CommandState.PENDING, CommandState.SENT)


class CommandSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One command as everything outside this package sees it."""

    id: str
    project_id: int
    verb: str
    engine: str
    source: str
    task_id: str
    task_key: int
    task_name: str
    queue: str
    attempt: int
    seal_id: str
    target: str
    """`task:KEY`, `name:SOURCE:TASK#ID`, `queue:SOURCE:QUEUE` or `worker:SOURCE:NAME`."""
    details: wire.CommandDetails
    only_agent: str
    operation_id: str
    affected: int
    """Messages or tasks that it touched; -1: not counted."""
    found: bytes
    """JSON of what `peek`, `dead` or `reconcile` saw; empty for other verbs."""
    has_payload: bool
    """Its arguments, or what it found, are still kept."""
    state: CommandState
    code: str
    """The agent's code of a failure, for example `refused`."""
    message: str
    effect: str
    new_task_id: str
    verified: bool
    requested_by: str
    audit_seq: int
    agent_id: str
    created_us: int
    deadline_us: int
    sent_us: int | None
    finished_us: int | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


def visible(project_id: int) -> Select[Command]:
    """Every statement on commands of a project starts here."""
    return select(Command).where(Command.project_id == project_id)


async def find_command(db: ControlDb, project_id: int, command_id: str) -> CommandSeen:
    """One command. Raises `NotFound`, also for another project's."""
    async with db.read() as session:
        row = await session.scalar(visible(project_id).where(Command.id == command_id))
    if row is None:
        raise NotFound("There is no such command in this project.")
    return seen(row)


async def commands_of_task(db: ControlDb, project_id: int, task_key: int) -> list[CommandSeen]:
    """What was asked for a task (one generation), newest first."""
    statement = visible(project_id).where(Command.task_key == task_key)
    async with db.read() as session:
        rows = await session.scalars(statement.order_by(Command.audit_seq.desc()))
        return [seen(row) for row in rows]


def seen(row: Command) -> CommandSeen:
    return CommandSeen(
        **{name: getattr(row, name) for name in _SAME},
        state=CommandState(row.state),
        details=details_of(row.details),
    )


def details_of(stored: bytes) -> wire.CommandDetails:
    return _details(stored) if stored else NO_DETAILS


_SAME = tuple(set(CommandSeen.__struct_fields__) - {"state", "details"})
_details = msgspec.msgpack.Decoder(wire.CommandDetails).decode
