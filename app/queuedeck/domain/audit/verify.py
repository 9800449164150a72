# SPDX-License-Identifier: AGPL-3.0-only
"""Checks the whole audit log and says exactly what was proved, and where it breaks.

Entries are read in slices of one snapshot, so a log of any length needs little memory.
"""

import hmac
from collections.abc import AsyncGenerator, Sequence
from enum import IntEnum

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.db.engine import ControlDb
from queuedeck.domain.audit import chain
from queuedeck.domain.audit.models import AuditEntry, AuditHead, AuditPayload
from queuedeck.domain.audit.service import HEAD_ID
from queuedeck.keyring import Keyring

SLICE = 1_000
_NO_ANCHOR = (
    "that nothing was cut off at the end together with the checkpoint. For that, name a checkpoint "
    "kept elsewhere with --anchor."
)


class Verdict(IntEnum):
    """Also the exit code of `queuedeck verify-audit`. 2 is left to the shell's usage errors."""

    OK = 0
    TAMPERED = 1
    UNPROVABLE = 3
    """Nothing was found wrong, but the question could not be answered: see the problem."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    verdict: Verdict
    size: int
    """Entries found."""
    root: str
    """Hex of the Merkle root over the entries found."""
    proved: list[str]
    not_proved: str = ""
    """What this check could not show, and how it could be."""
    problem: str = ""
    broken_at: int | None = None
    """The first entry at which the log is not what was written."""
    erased: int = 0
    """Payloads that were erased; their entries still verify."""


class _Broken(Exception):
    def __init__(self, problem: str, seq: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.seq = seq


class _Entry(msgspec.Struct, frozen=True):
    seq: int
    project: str
    body: bytes
    leaf: bytes
    mac: bytes
    salt: bytes | None
    payload: bytes | None


class _Body(msgspec.Struct, frozen=True):
    """What the body says that the row must agree with."""

    seq: int
    project: str
    payload_sha256: str


class _Walk:
    """State after the entries so far."""

    def __init__(self, key: bytes, anchor: chain.Checkpoint | None) -> None:
        self._key = key
        self._anchor = anchor
        self.frontier = chain.Frontier()
        self.mac = chain.NO_MAC
        self.erased = 0
        self._check_anchor()

    def step(self, entry: _Entry) -> None:
        seq = self.frontier.size + 1
        if entry.seq != seq:
            raise _Broken(f"Entry {seq} is missing; the next one is {entry.seq}.", seq)
        body = _read_body(entry)
        if body.seq != seq:
            raise _Broken(f"Entry {seq} holds what was written as entry {body.seq}.", seq)
        leaf = chain.leaf_hash(entry.body)
        self.mac = chain.next_mac(self._key, self.mac, entry.body)
        if not hmac.compare_digest(self.mac, entry.mac) or leaf != entry.leaf:
            raise _Broken(
                f"Entry {seq} is not what was written: it was changed, put in or moved.", seq
            )
        if body.project != entry.project:
            raise _Broken(f"Entry {seq} is listed under another project than it names.", seq)
        self._check_payload(entry, body)
        self.frontier = self.frontier.add(leaf)
        self._check_anchor()

    def finish(self) -> None:
        anchor, size = self._anchor, self.frontier.size
        if anchor and anchor.size > size:
            raise _Broken(
                f"The log ends at entry {size}, but the anchor has seen {anchor.size}: entries "
                f"{size + 1} to {anchor.size} were cut off, or an older backup was restored.",
                size + 1,
            )

    def _check_payload(self, entry: _Entry, body: _Body) -> None:
        if entry.payload is None or entry.salt is None:
            self.erased += bool(body.payload_sha256)
            return
        if chain.commitment(entry.salt, entry.payload).hex() != body.payload_sha256:
            raise _Broken(f"The payload of entry {entry.seq} is not what was written.", entry.seq)

    def _check_anchor(self) -> None:
        anchor = self._anchor
        if anchor and anchor.size == self.frontier.size and anchor.root != self.frontier.root:
            raise _Broken(
                f"The first {anchor.size} entries are not those that the anchor has seen: "
                "history was written anew.",
                1 if anchor.size else None,
            )


async def verify(db: ControlDb, keyring: Keyring, anchor: str | None = None) -> Verified:
    """Check every entry, the chain, the tree, the checkpoint; and the anchor, a checkpoint that was
    kept elsewhere, which alone shows that nothing was cut off since.
    """
    seen: chain.Checkpoint | None = None
    if anchor is not None:
        try:
            seen = chain.open_checkpoint(anchor, keyring.audit_public)
        except ValueError as error:
            return _unprovable(f"The anchor cannot be used: {error}.")
    walk: _Walk | None = None
    try:
        walk = _Walk(keyring.audit_mac_key, seen)
        async with db.read() as session:
            async for entry in _entries(session):
                walk.step(entry)
            await _check_head(session, walk, keyring)
        walk.finish()
    except _Broken as broken:
        return Verified(
            verdict=Verdict.TAMPERED,
            size=walk.frontier.size if walk else 0,
            root=walk.frontier.root.hex() if walk else "",
            proved=_proved_until(broken.seq),
            problem=broken.problem,
            broken_at=broken.seq,
        )
    return Verified(
        verdict=Verdict.OK,
        size=walk.frontier.size,
        root=walk.frontier.root.hex(),
        proved=_proved(walk, seen),
        not_proved="" if seen else _NO_ANCHOR,
        erased=walk.erased,
    )


async def _entries(session: AsyncSession) -> AsyncGenerator[_Entry]:
    last = -(1 << 62)  # Rows that were put in may have any number.
    while True:
        rows: Sequence[object] = (
            await session.execute(
                select(
                    AuditEntry.seq,
                    AuditEntry.project,
                    AuditEntry.body,
                    AuditEntry.leaf,
                    AuditEntry.mac,
                    AuditPayload.salt,
                    AuditPayload.payload,
                )
                .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
                .where(AuditEntry.seq > last)
                .order_by(AuditEntry.seq)
                .limit(SLICE)
            )
        ).all()
        for row in rows:
            entry = _read_row(row, last)
            yield entry
            last = entry.seq
        if len(rows) < SLICE:
            return


async def _check_head(session: AsyncSession, walk: _Walk, keyring: Keyring) -> None:
    row = (
        await session.execute(
            select(AuditHead.size, AuditHead.mac, AuditHead.frontier, AuditHead.checkpoint).where(
                AuditHead.id == HEAD_ID
            )
        )
    ).one_or_none()
    size = walk.frontier.size
    if row is None:
        if size:
            raise _Broken(f"There are {size} entries, but the log's head is gone.")
        return
    try:
        checkpoint = chain.open_checkpoint(str(row.checkpoint), keyring.audit_public)
    except ValueError as error:
        raise _Broken(f"The checkpoint cannot be trusted: {error}.") from error
    if checkpoint.size > size:
        raise _Broken(
            f"The log ends at entry {size}, but its checkpoint was signed over "
            f"{checkpoint.size}: entries {size + 1} to {checkpoint.size} were cut off.",
            size + 1,
        )
    if (checkpoint.size, checkpoint.root) != (size, walk.frontier.root):
        raise _Broken(f"The checkpoint was signed over {checkpoint.size} other entries.")
    if (row.size, row.mac, row.frontier) != (size, walk.mac, walk.frontier.to_bytes()):
        raise _Broken("The log's head does not fit its entries; the entries themselves do.")


def _read_row(row: object, last: int) -> _Entry:
    try:
        return msgspec.convert(row, _Entry, from_attributes=True, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        after = f"after entry {last}" if last > 0 else "at the beginning"
        raise _Broken(f"A row {after} is not an entry: {error}.", max(last, 0) + 1) from error


def _read_body(entry: _Entry) -> _Body:
    try:
        return msgspec.json.decode(entry.body, type=_Body)
    except msgspec.MsgspecError as error:
        raise _Broken(f"Entry {entry.seq} cannot be read: {error}.", entry.seq) from error


def _proved(walk: _Walk, anchor: chain.Checkpoint | None) -> list[str]:
    size = walk.frontier.size
    if size == 0:
        return ["The log is empty."]
    lines = [
        f"Entries 1 to {size} are there without a gap, in order, and as they were written "
        "(HMAC chain and Merkle tree).",
        "The signed checkpoint fits them.",
    ]
    if walk.erased:
        lines.append(f"{walk.erased} payloads were erased; what they were is committed to by hash.")
    if anchor:
        lines.append(f"The anchor's {anchor.size} entries are the beginning of this log.")
    return lines


def _proved_until(seq: int | None) -> list[str]:
    if seq is None or seq <= 1:
        return []
    return [f"Entries 1 to {seq - 1} are as they were written."]


def _unprovable(problem: str) -> Verified:
    return Verified(verdict=Verdict.UNPROVABLE, size=0, root="", proved=[], problem=problem)
