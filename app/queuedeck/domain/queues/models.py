# SPDX-License-Identifier: AGPL-3.0-only
"""Pauses of queues, and which agents were told of them."""

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros, RowId


class Pause(Base):
    """What an operator wishes of a queue, for as long as `ended_us` is null."""

    __tablename__ = "pauses"
    __table_args__ = (
        Index("ix_pauses_settled", "settled", "project_id"),
        Index(
            "uq_pauses_open",
            "project_id",
            "source",
            "queue",
            unique=True,
            sqlite_where=text("ended_us IS NULL"),
            postgresql_where=text("ended_us IS NULL"),
        ),
    )

    id: Mapped[RowId]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    source: Mapped[str]
    engine: Mapped[str]
    queue: Mapped[str]
    reason: Mapped[str]
    requested_by: Mapped[str]
    audit_seq: Mapped[int] = mapped_column(BigInteger)
    since_us: Mapped[Micros]
    until_us: Mapped[Micros | None]
    """When it ends by itself; null: when somebody resumes the queue."""
    ended_us: Mapped[Micros | None]
    ended_by: Mapped[str] = mapped_column(default="")
    end_audit_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    settled: Mapped[bool] = mapped_column(default=False)
    """Ended, and every agent that may hold it was told so: nothing is left to do."""


class PauseOrder(Base):
    """One agent that was asked to pause or to resume, by one command."""

    __tablename__ = "pause_orders"
    __table_args__ = (Index("ix_pause_orders_pause", "pause_id"),)

    id: Mapped[RowId]
    pause_id: Mapped[int] = mapped_column(ForeignKey("pauses.id"))
    agent_id: Mapped[str]
    host: Mapped[str]
    worker: Mapped[str]
    verb: Mapped[str]
    """`pause` or `resume`."""
    command_id: Mapped[str] = mapped_column(ForeignKey("commands.id"))
