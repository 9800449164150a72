# SPDX-License-Identifier: AGPL-3.0-only
"""One round takes all that is over, of every project by its own rule; slices: see domain."""

import pytest
from sqlalchemy import insert, select

from queuedeck.clock import DAY_US
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.commands import prune
from queuedeck.domain.commands.models import Command
from queuedeck.domain.projects.retention import Retention, set_retention
from queuedeck.ids import new_id
from queuedeck.loops.prune_commands import prune_commands

BY = Actor("system", "test", "test", "test")


@pytest.fixture
async def brief(serving, project):
    """A project that keeps its tasks for five days."""
    s, other = serving.services, await serving.project("Brief")
    await set_retention(
        s.control, s.keyring, other.seen, Retention(task_days=5), BY, server_days=30, clock=s.clock
    )
    return other


def commands(now, project, ages):
    fields = {
        "project_id": project.id, "verb": "retry", "engine": "celery", "source": "0123456789ab",
        "task_id": "t", "task_name": "shop.add", "queue": "", "attempt": 1, "seal_id": "",
        "code": "", "message": "", "effect": "", "new_task_id": "", "verified": False,
        "requested_by": "user:ann", "audit_seq": 1, "agent_id": "", "created_us": 1,
        "deadline_us": 2, "state": "done",
    }  # fmt: skip
    return [
        {**fields, "id": new_id(), "task_key": n, "target": f"task:{n}",
         "finished_us": now - days * DAY_US}
        for n, days in enumerate(ages)
    ]  # fmt: skip


async def test_one_round_takes_all_of_every_project(serving, project, brief, monkeypatch):
    monkeypatch.setattr(prune, "SLICE", 2)
    s = serving.services
    now = s.clock()
    async with s.control.write() as session:
        for one in (project, brief):
            rows = commands(now, one, [1, 4, 6, 20, 29, 31, 40, 50])
            await session.execute(insert(Command), rows)
    await prune_commands(s)
    async with s.control.read() as session:
        rows = (await session.execute(select(Command.project_id, Command.task_key))).all()
    left = {(project_id, key) for project_id, key in rows}
    assert left == {(project.id, n) for n in range(5)} | {(brief.id, n) for n in range(2)}
