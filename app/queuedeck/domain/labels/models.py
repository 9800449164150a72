# SPDX-License-Identifier: AGPL-3.0-only
"""Rules of labels and marks."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros, RowId


class Rule(Base):
    """One rule as somebody wrote it; the fields are those of `RuleInput`."""

    __tablename__ = "label_rules"
    __table_args__ = (Index("ix_label_rules_project", "project_id", "position"),)

    id: Mapped[RowId]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    position: Mapped[int]
    """From 0, in one order for labels and marks."""
    kind: Mapped[str]
    pattern: Mapped[str]
    template: Mapped[str]
    title: Mapped[str]
    test: Mapped[str]
    path: Mapped[str]
    value: Mapped[str]
    changed_by: Mapped[str]
    changed_us: Mapped[Micros]
