# SPDX-License-Identifier: AGPL-3.0-only
"""Entries: written with the act or not at all, never changed, listed by project."""

import sqlite3

import asyncpg
import pytest
from tests.support.control import KEYRING, SHELL, run_sql

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit.queries import list_entries, log_state
from queuedeck.domain.audit.service import append
from queuedeck.errors import Unavailable

ANN = Actor("user", "7", "ann@example.com", "session:3", "10.0.0.4")


async def add(db, clock, target="task:1", project="shop", by=ANN, payload=None):
    async with db.write() as session:
        return await append(
            session, KEYRING, clock, by, "task.retry", target, "done", project, payload, "req-1"
        )


async def test_entry_says_who_did_what_when_and_from_where(db, clock):
    assert await add(db, clock, payload={"reason": "because"}) == 1
    line = (await list_entries(db, "shop")).entries[0]
    assert (line.seq, line.time) == (1, "2025-12-31T12:00:00.000000Z")
    assert (line.actor.kind, line.actor.id, line.actor.name) == ("user", "7", "ann@example.com")
    assert (line.actor.auth, line.ip, line.request) == ("session:3", "10.0.0.4", "req-1")
    assert (line.action, line.target, line.outcome) == ("task.retry", "task:1", "done")
    assert line.payload == {"reason": "because"}


async def test_entry_goes_when_the_act_is_rolled_back(db, clock):
    await add(db, clock)
    with pytest.raises(ZeroDivisionError):
        async with db.write() as session:
            await append(session, KEYRING, clock, SHELL, "x", "y", "done", "shop")
            _ = 1 / 0
    assert (await log_state(db)).size == 1
    assert await add(db, clock) == 2


async def test_entries_of_one_transaction_follow_each_other(db, clock):
    async with db.write() as session:
        numbers = [
            await append(session, KEYRING, clock, SHELL, "x", str(n), "done", "") for n in range(5)
        ]
    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entries SET project = 'x'", "DELETE FROM audit_entries WHERE seq = 1"],
)
async def test_database_refuses_to_change_entries(db, clock, statement):
    await add(db, clock)
    refusals = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
    with pytest.raises(refusals, match="append-only"):
        run_sql(db.database, statement)


async def test_damaged_head_stops_the_act(db, clock):
    await add(db, clock)
    run_sql(db.database, "UPDATE audit_head SET frontier = x'00'")
    with pytest.raises(Unavailable, match="verify-audit"):
        await add(db, clock)


async def test_list_shows_one_project_newest_first_by_pages(db, clock):
    for number in range(5):
        await add(db, clock, f"task:{number}")
        await add(db, clock, "task:9", "bank")
    page = await list_entries(db, "shop", limit=2)
    assert [line.target for line in page.entries] == ["task:4", "task:3"]
    rest = await list_entries(db, "shop", after=page.after, limit=10)
    assert [line.target for line in rest.entries] == ["task:2", "task:1", "task:0"]
    assert rest.after is None


async def test_clock_that_jumps_back_does_not_change_the_order(db, clock):
    await add(db, clock, "task:1")
    clock.advance(-86_400)
    await add(db, clock, "task:2")
    assert [line.seq for line in (await list_entries(db, "shop")).entries] == [2, 1]
