# SPDX-License-Identifier: AGPL-3.0-only
"""The loop over due commands: one round takes all there are. The rules are tested in domain."""

from sqlalchemy import insert, select

from queuedeck.domain.commands.models import Command
from queuedeck.ids import new_id
from queuedeck.loops.expire_commands import expire_commands

DUE = 250
"""More than one turn takes."""


async def test_one_round_ends_everything_that_is_due(serving, project):
    s = serving.services
    fields = {
        "project_id": project.id, "verb": "retry", "engine": "celery", "source": "0123456789ab",
        "task_id": "t", "task_name": "shop.add", "queue": "", "attempt": 1, "seal_id": "",
        "code": "", "message": "", "effect": "", "new_task_id": "", "verified": False,
        "requested_by": "user:ann", "audit_seq": 1, "agent_id": "", "created_us": 1,
        "deadline_us": 2, "state": "pending",
    }  # fmt: skip
    async with s.control.write() as session:
        rows = [
            {**fields, "id": new_id(), "task_key": n, "target": f"task:{n}"} for n in range(DUE)
        ]
        await session.execute(insert(Command), rows)
    await expire_commands(s)
    async with s.control.read() as session:
        states = list(await session.scalars(select(Command.state)))
    assert states == ["expired"] * DUE
