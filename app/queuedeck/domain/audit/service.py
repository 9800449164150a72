# SPDX-License-Identifier: AGPL-3.0-only
"""Writes the audit log: one entry, inside the transaction of the act that it records."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import SECOND_US, Clock
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit import chain
from queuedeck.domain.audit.models import AuditEntry, AuditHead, AuditPayload
from queuedeck.errors import Unavailable
from queuedeck.keyring import Keyring

VERSION = 1
SALT_BYTES = 16
HEAD_ID = 1


async def append(
    session: AsyncSession,
    keyring: Keyring,
    clock: Clock,
    actor: Actor,
    action: str,
    target: str,
    outcome: str,
    project_slug: str,
    payload: Mapping[str, object] | None = None,
    request_id: str = "",
) -> int:
    """Add an entry and return its number. `session` must be in a write transaction.

    The head is read here and now, never remembered: another process may have written since.
    `payload` holds what may have to be erased one day; the entry only commits to it.
    """
    head = await _read_head(session)
    seq = head.frontier.size + 1
    body: dict[str, object] = {
        "v": VERSION,
        "seq": seq,
        "time": rfc3339(clock()),
        "actor": {"kind": actor.kind, "id": actor.id, "name": actor.name, "auth": actor.auth},
        "ip": actor.ip,
        "project": project_slug,
        "action": action,
        "target": target,
        "outcome": outcome,
        "request": request_id,
        "payload_sha256": "",
    }
    if payload:
        salt, raw = secrets.token_bytes(SALT_BYTES), chain.canonical(payload)
        body["payload_sha256"] = chain.commitment(salt, raw).hex()
        await session.execute(insert(AuditPayload).values(seq=seq, salt=salt, payload=raw))
    await _add(session, keyring, head, project_slug, chain.canonical(body))
    return seq


async def erase_payload(session: AsyncSession, seq: int) -> bool:
    """Erase what an entry commits to. The log still verifies; the entry says that it had one."""
    gone = await session.scalar(
        delete(AuditPayload).where(AuditPayload.seq == seq).returning(AuditPayload.seq)
    )
    return gone is not None


def rfc3339(at_us: int) -> str:
    """For people and strangers' programs; the order of entries is `seq`, never this."""
    seconds, micros = divmod(at_us, SECOND_US)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Head(msgspec.Struct, frozen=True):
    frontier: chain.Frontier
    mac: bytes


async def _read_head(session: AsyncSession) -> _Head:
    columns = select(AuditHead.size, AuditHead.frontier, AuditHead.mac)
    row = (await session.execute(columns.where(AuditHead.id == HEAD_ID))).one_or_none()
    if row is None:
        return _Head(chain.Frontier(), chain.NO_MAC)
    try:
        return _Head(chain.frontier_of(row.size, row.frontier), row.mac)
    except ValueError as error:
        raise Unavailable(
            f"The audit log's head is damaged ({error}), so nothing can be recorded and nothing "
            "was done. Run `queuedeck verify-audit` and restore a backup."
        ) from error


async def _add(
    session: AsyncSession, keyring: Keyring, head: _Head, project_slug: str, body: bytes
) -> None:
    leaf = chain.leaf_hash(body)
    frontier = head.frontier.add(leaf)
    mac = chain.next_mac(keyring.audit_mac_key, head.mac, body)
    note = chain.sign_checkpoint(frontier, keyring.audit_public, keyring.sign_checkpoint)
    await session.execute(
        insert(AuditEntry).values(
            seq=frontier.size, project=project_slug, body=body, leaf=leaf, mac=mac
        )
    )
    values = {
        "size": frontier.size,
        "mac": mac,
        "frontier": frontier.to_bytes(),
        "checkpoint": note,
    }
    if head.frontier.size == 0:
        await session.execute(insert(AuditHead).values(id=HEAD_ID, **values))
    else:
        await session.execute(update(AuditHead).where(AuditHead.id == HEAD_ID).values(**values))
