# SPDX-License-Identifier: AGPL-3.0-only
"""Tables of projects and of the secrets that belong to one: agent keys and API tokens."""

from sqlalchemy import ForeignKey, true
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base
from queuedeck.db.types import Micros, RowId, Secret


class Project(Base):
    """The boundary of tenancy."""

    __tablename__ = "projects"

    id: Mapped[RowId]
    slug: Mapped[str] = mapped_column(unique=True)
    """In URLs, DSNs and seals: never changes."""
    name: Mapped[str]
    created_us: Mapped[Micros]
    keep_task_days: Mapped[int | None]
    """None: as long as the server keeps tasks."""
    keep_payload_days: Mapped[int | None]
    keep_count_days: Mapped[int | None]
    label_defaults: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether the rules of labels that are shipped go behind its own."""


class AgentKey(Base):
    """Lets agents connect to a project. The DSN that carries it is shown once."""

    __tablename__ = "agent_keys"

    id: Mapped[RowId]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    key_hash: Mapped[Secret]
    prefix: Mapped[str]
    """The first characters of the key, to tell keys apart."""
    seal_id: Mapped[str]
    """Id of the sealing key in the same DSN; the key itself is never here."""
    created_by: Mapped[str]
    created_us: Mapped[Micros]
    revoked_us: Mapped[Micros | None]
    last_used_us: Mapped[Micros | None]


class ApiToken(Base):
    """Lets a program use the API of one project with one role."""

    __tablename__ = "api_tokens"

    id: Mapped[RowId]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    token_hash: Mapped[Secret]
    prefix: Mapped[str]
    role: Mapped[str]
    created_by: Mapped[str]
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros | None]
    revoked_us: Mapped[Micros | None]
    last_used_us: Mapped[Micros | None]
