# SPDX-License-Identifier: AGPL-3.0-only
"""The outbox: what operators asked agents to do, and what came of it."""

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros

OPEN = text("commands.state IN ('pending', 'sent')")
"""Repeated by statements on open commands of all projects: their small index is used only then."""


class Command(Base):
    """The outbox: what was asked for, and what came of it."""

    __tablename__ = "commands"
    __table_args__ = (
        Index("ix_commands_task", "project_id", "task_key"),
        Index("ix_commands_open", "project_id", "state", "deadline_us"),
        Index("ix_commands_operation", "operation_id", "state"),
        Index("ix_commands_target", "project_id", "target", "created_us"),
        Index("ix_commands_finished", "project_id", "finished_us"),
        Index(
            "ix_commands_payload",
            "project_id",
            "finished_us",
            sqlite_where=text("has_payload = 1"),
            postgresql_where=text("has_payload"),
        ),
        # Belt to the check in the service: one open command per target, verb and agent.
        Index(
            "uq_commands_open_target",
            "project_id",
            "target",
            "verb",
            "only_agent",
            unique=True,
            sqlite_where=text("state IN ('pending', 'sent')"),
            postgresql_where=text("state IN ('pending', 'sent')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    """32 hex digits."""
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    verb: Mapped[str]
    """One of `wire.VERBS`."""
    target: Mapped[str]
    """`task:KEY`, `name:SOURCE:TASK#ID`, `queue:SOURCE:QUEUE` or `worker:SOURCE:NAME`."""
    engine: Mapped[str]
    source: Mapped[str]
    task_id: Mapped[str]
    task_key: Mapped[int] = mapped_column(BigInteger)
    """The history store's id of the task; 0 where the command is not about one."""
    task_name: Mapped[str]
    queue: Mapped[str]
    attempt: Mapped[int]
    seal_id: Mapped[str]
    """The sealing key that an agent must hold; empty when the verb needs none."""
    details: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    """A msgpack `wire.CommandDetails`, or empty."""
    only_agent: Mapped[str] = mapped_column(default="")
    """The one agent that may take it; empty: any that is able."""
    operation_id: Mapped[str] = mapped_column(default="")
    """The operation that it is a part of; empty: none. Then it has no audit entries of its own."""
    state: Mapped[str]
    """pending, sent, done, failed, expired or unknown."""
    code: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    effect: Mapped[str] = mapped_column(default="")
    new_task_id: Mapped[str] = mapped_column(default="")
    verified: Mapped[bool] = mapped_column(default=False)
    affected: Mapped[int] = mapped_column(BigInteger, default=-1)
    """Messages or tasks that it touched; -1: not counted."""
    found: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    """JSON of what it saw, already redacted by the agent."""
    has_payload: Mapped[bool] = mapped_column(default=False)
    """Arguments that somebody wrote, or what it saw, are here: they go before the rest."""
    requested_by: Mapped[str]
    audit_seq: Mapped[int] = mapped_column(BigInteger)
    agent_id: Mapped[str] = mapped_column(default="")
    """The agent that it was sent to."""
    created_us: Mapped[Micros]
    deadline_us: Mapped[Micros]
    """Not sent by then: expired."""
    sent_us: Mapped[Micros | None]
    lease_us: Mapped[Micros | None]
    """Sent, and no answer by then: unknown."""
    answered_us: Mapped[Micros | None]
    """When the agent's own answer was recorded; a second answer changes nothing."""
    finished_us: Mapped[Micros | None]
