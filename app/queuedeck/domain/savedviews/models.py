# SPDX-License-Identifier: AGPL-3.0-only
"""Filters that people keep under a name."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros, PlainText, RowId


class SavedView(Base):
    """A question about tasks with a name; one person's, or everybody's in the project."""

    __tablename__ = "saved_views"
    __table_args__ = (Index("ix_saved_views_project", "project_id", "owner_id"),)

    id: Mapped[RowId]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    """Null: the team's."""
    name: Mapped[str] = mapped_column(PlainText)
    question: Mapped[str] = mapped_column(PlainText)
    """In the filter's language, as `to_text` writes it."""
    made_by: Mapped[str]
    created_us: Mapped[Micros]
