# SPDX-License-Identifier: AGPL-3.0-only
"""The outbox: what operators asked agents to do, and what came of it."""

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros


class Command(Base):
    """The outbox: what was asked for, and what came of it."""

    __tablename__ = "commands"
    __table_args__ = (
        Index("ix_commands_task", "project_id", "task_key"),
        Index("ix_commands_open", "project_id", "state", "deadline_us"),
        # Belt to the check in the service: one open command per task and verb.
        Index(
            "uq_commands_open_task",
            "project_id",
            "task_key",
            "verb",
            unique=True,
            sqlite_where=text("state IN ('pending', 'sent')"),
            postgresql_where=text("state IN ('pending', 'sent')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    """32 hex digits."""
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    verb: Mapped[str]
    engine: Mapped[str]
    source: Mapped[str]
    task_id: Mapped[str]
    task_key: Mapped[int] = mapped_column(BigInteger)
    """The history store's id of the task."""
    task_name: Mapped[str]
    queue: Mapped[str]
    attempt: Mapped[int]
    seal_id: Mapped[str]
    """The sealing key that an agent must hold; empty when the verb needs none."""
    state: Mapped[str]
    """pending, sent, done, failed, expired or unknown."""
    code: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    effect: Mapped[str] = mapped_column(default="")
    new_task_id: Mapped[str] = mapped_column(default="")
    verified: Mapped[bool] = mapped_column(default=False)
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
