# SPDX-License-Identifier: AGPL-3.0-only
"""Reads the audit log, a page at a time; the log's own state for pages and witnesses."""

import json
from typing import Any

import msgspec
from sqlalchemy import select

from queuedeck.db.engine import ControlDb
from queuedeck.domain.audit import chain
from queuedeck.domain.audit.models import AuditEntry, AuditHead, AuditPayload
from queuedeck.domain.audit.service import HEAD_ID
from queuedeck.errors import Conflict
from queuedeck.keyring import Keyring

MAX_LIMIT = 500


class ActorNamed(msgspec.Struct, frozen=True):
    """Who it was, as written down then."""

    kind: str
    id: str
    name: str
    auth: str


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, read back."""

    seq: int
    time: str
    """RFC 3339, UTC. Information only: the order is `seq`."""
    actor: ActorNamed
    ip: str
    project: str
    action: str
    target: str
    outcome: str
    request: str = ""
    payload_sha256: str = ""
    payload: dict[str, Any] | None = None
    """None: there was none, or it was erased (then `payload_sha256` is not empty)."""


class AuditPage(msgspec.Struct, frozen=True):
    """Some entries of one project."""

    entries: list[AuditLine]
    """Newest first."""
    after: int | None
    """Cursor of the next, older page; None when this is the last."""


class LogState(msgspec.Struct, frozen=True):
    """Where the log of the whole installation ends."""

    size: int
    checkpoint: str
    """The signed note; empty while the log is."""


async def list_entries(
    db: ControlDb, project_slug: str, *, after: int | None = None, limit: int = 50
) -> AuditPage:
    """Entries of a project older than `after`. Without a project: those of the installation."""
    limit = max(1, min(limit, MAX_LIMIT))
    statement = (
        select(AuditEntry.seq, AuditEntry.body, AuditPayload.payload)
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(AuditEntry.project == project_slug)
        .order_by(AuditEntry.seq.desc())
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(AuditEntry.seq < after)
    async with db.read() as session:
        rows = (await session.execute(statement)).all()
    entries = [read_line(body, payload) for _seq, body, payload in rows[:limit]]
    return AuditPage(entries, entries[-1].seq if len(rows) > limit else None)


async def log_state(db: ControlDb) -> LogState:
    """How long the log is, with its signed checkpoint: for pages, and for agents to witness."""
    statement = select(AuditHead.size, AuditHead.checkpoint).where(AuditHead.id == HEAD_ID)
    async with db.read() as session:
        row = (await session.execute(statement)).one_or_none()
    return LogState(row.size, row.checkpoint) if row else LogState(0, "")


async def check_key(db: ControlDb, keyring: Keyring) -> None:
    """Raises `Conflict` when the log was signed with other keys: what these would append, nobody
    could verify. A damaged checkpoint is none of this: `verify` tells about it.
    """
    note = (await log_state(db)).checkpoint
    theirs, ours = note.partition("\n")[0], chain.origin_of(keyring.audit_public)
    if theirs.startswith(chain.ORIGIN) and theirs != ours:
        raise Conflict(
            "The keys of this data folder are not those of the database. Copy `secret.key` from "
            "the data folder of the server that made it, or set the same QUEUEDECK_SECRET."
        )


def read_line(body: bytes, payload: bytes | None) -> AuditLine:
    line = msgspec.json.decode(body, type=AuditLine)
    if payload is None:
        return line
    return msgspec.structs.replace(line, payload=json.loads(payload))
