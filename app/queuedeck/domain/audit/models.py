# SPDX-License-Identifier: AGPL-3.0-only
"""Tables of the audit log. Entries are never changed or deleted: triggers of the first migration
refuse it. Payloads live apart, so that one can be erased while the log still verifies.
"""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from queuedeck.db.base import Base


class AuditEntry(Base):
    """One entry of the log."""

    __tablename__ = "audit_entries"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """1, 2, 3 ... without gaps; the only order."""
    project: Mapped[str] = mapped_column(index=True)
    """Copy of what the body says, for lists; verification compares them."""
    body: Mapped[bytes]
    """Canonical JSON, stored and hashed verbatim."""
    leaf: Mapped[bytes]
    """SHA-256(0x00 || body)."""
    mac: Mapped[bytes]
    """HMAC over the previous mac and this body."""


class AuditPayload(Base):
    """What an entry commits to by hash."""

    __tablename__ = "audit_payloads"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    salt: Mapped[bytes]
    payload: Mapped[bytes]


class AuditHead(Base):
    """One row: where the log ends. Read and written in the transaction of each append."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    mac: Mapped[bytes]
    frontier: Mapped[bytes]
    """Roots of the complete subtrees, 32 bytes each, largest first."""
    checkpoint: Mapped[str]
    """The signed note."""
