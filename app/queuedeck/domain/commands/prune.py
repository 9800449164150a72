# SPDX-License-Identifier: AGPL-3.0-only
"""Deletes what is kept of commands no longer: a slice in a transaction, so that others get in
between. The audit log keeps who asked for what and what came of it.

Commands go with the tasks of their project. What somebody wrote into a form, and what an agent
found, goes sooner: when payloads go, and after a week at most.
"""

import msgspec
from sqlalchemy import delete, select, update

from queuedeck.clock import DAY_US
from queuedeck.db.engine import ControlDb
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import NO_DETAILS, details_of
from queuedeck.history.retention import Kept
from queuedeck_agent import wire

PAYLOAD_DAYS = 7
"""So long a submission can be changed and sent again, at most."""
SLICE = 500


async def forget_payloads(db: ControlDb, kept: Kept, now_us: int) -> int:
    """Take arguments and findings out of a slice of ended commands. Returns of how many."""
    before = now_us - min(kept.payload_days, PAYLOAD_DAYS) * DAY_US
    old = (
        select(Command.id, Command.details)
        .where(Command.project_id == kept.project_id, Command.has_payload)
        .where(Command.finished_us < before)
        .order_by(Command.finished_us)
        .limit(SLICE)
    )
    async with db.read() as session:
        rows = (await session.execute(old)).all()
    if not rows:
        return 0
    changes = [
        {"id": number, "details": _without_args(details), "found": b"", "has_payload": False}
        for number, details in rows
    ]
    async with db.write() as session:
        await session.execute(update(Command), changes)
    return len(rows)


async def delete_commands(db: ControlDb, kept: Kept, now_us: int) -> int:
    """Delete a slice of the commands that ended before the oldest tasks that are kept. How many."""
    old = (
        select(Command.id)
        .where(Command.project_id == kept.project_id)
        .where(Command.finished_us < now_us - kept.task_days * DAY_US)
        .order_by(Command.finished_us)
        .limit(SLICE)
    )
    async with db.read() as session:
        ids = list(await session.scalars(old))
    if ids:
        async with db.write() as session:
            await session.execute(delete(Command).where(Command.id.in_(ids)))
    return len(ids)


def _without_args(details: bytes) -> bytes:
    left = msgspec.structs.replace(details_of(details), args=b"")
    return b"" if left == NO_DETAILS else wire.encode(left)
