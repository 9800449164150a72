# SPDX-License-Identifier: AGPL-3.0-only
"""Every way to tamper with the log is found, and the report says where."""

import asyncio
import sys

import pytest
from tests.support.control import KEYRING, OTHER_KEYRING, SHELL, run_sql

from queuedeck.domain.audit.queries import list_entries, log_state
from queuedeck.domain.audit.service import append, erase_payload
from queuedeck.domain.audit.verify import Verdict, verify

SIZE = 12
NO_TRIGGERS = (
    "DROP TRIGGER audit_entries_refuse_update",
    "DROP TRIGGER audit_entries_refuse_delete",
)
COLUMNS = "project, body, leaf, mac"


async def write_entries(db, clock, count=SIZE):
    async with db.write() as session:
        for number in range(count):
            await append(
                session,
                KEYRING,
                clock,
                SHELL,
                "test",
                f"thing:{number}",
                "done",
                "shop",
                {"number": number},
            )


async def test_log_that_nobody_touched_verifies(db, clock):
    await write_entries(db, clock)
    found = await verify(db, KEYRING)
    assert (found.verdict, found.size, found.problem) == (Verdict.OK, SIZE, "")
    assert "1 to 12" in found.proved[0]
    assert "cut off" in found.not_proved


async def test_empty_log_verifies(db):
    assert (await verify(db, KEYRING)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("statements", "broken_at"),
    [
        pytest.param(
            [
                "UPDATE audit_entries SET body = CAST(replace(body, 'thing:4', 'thing:x') AS BLOB) "
                "WHERE seq = 5"
            ],
            5,
            id="edited",
        ),
        pytest.param(["DELETE FROM audit_entries WHERE seq = 5"], 5, id="deleted"),
        pytest.param(
            [
                "DELETE FROM audit_entries WHERE seq = 5",
                "UPDATE audit_entries SET seq = seq - 1 WHERE seq > 5",
            ],
            5,
            id="deleted and renumbered",
        ),
        pytest.param(
            [
                "UPDATE audit_entries SET seq = -seq WHERE seq >= 5",
                "UPDATE audit_entries SET seq = 1 - seq WHERE seq < 0",
                f"INSERT INTO audit_entries (seq, {COLUMNS}) "
                f"SELECT 5, {COLUMNS} FROM audit_entries WHERE seq = 4",
            ],
            5,
            id="inserted a copy",
        ),
        pytest.param(
            [
                f"INSERT INTO audit_entries (seq, {COLUMNS}) "
                f"SELECT 0, {COLUMNS} FROM audit_entries WHERE seq = 4"
            ],
            1,
            id="inserted before the first",
        ),
        pytest.param(
            [
                "UPDATE audit_entries SET seq = -1 WHERE seq = 5",
                "UPDATE audit_entries SET seq = 5 WHERE seq = 6",
                "UPDATE audit_entries SET seq = 6 WHERE seq = -1",
            ],
            5,
            id="reordered",
        ),
        pytest.param(["DELETE FROM audit_entries WHERE seq > 9"], 10, id="cut off at the end"),
        pytest.param(["DELETE FROM audit_entries WHERE seq < 4"], 1, id="cut off at the start"),
        pytest.param(["DELETE FROM audit_entries"], 1, id="emptied"),
        pytest.param(["UPDATE audit_entries SET mac = leaf WHERE seq = 5"], 5, id="other mac"),
        pytest.param(["UPDATE audit_entries SET leaf = mac WHERE seq = 5"], 5, id="other leaf"),
        pytest.param(
            ["UPDATE audit_entries SET project = 'bank' WHERE seq = 5"], 5, id="hidden elsewhere"
        ),
        pytest.param(["UPDATE audit_entries SET body = 'text' WHERE seq = 5"], 5, id="no blob"),
        pytest.param(["UPDATE audit_entries SET body = x'00' WHERE seq = 5"], 5, id="no json"),
        pytest.param(
            ["UPDATE audit_payloads SET payload = x'7b7d' WHERE seq = 5"], 5, id="other payload"
        ),
        pytest.param(["DELETE FROM audit_head"], None, id="head deleted"),
        pytest.param(["UPDATE audit_head SET mac = zeroblob(32)"], None, id="head changed"),
        pytest.param(["UPDATE audit_head SET checkpoint = ''"], None, id="checkpoint deleted"),
        pytest.param(
            ["UPDATE audit_head SET checkpoint = replace(checkpoint, '12', '11')"],
            None,
            id="checkpoint edited",
        ),
    ],
)
async def test_tampering_is_found_where_it_was_done(db, clock, statements, broken_at):
    await write_entries(db, clock)
    run_sql(db.database, *NO_TRIGGERS, *statements)
    found = await verify(db, KEYRING)
    assert (found.verdict, found.broken_at) == (Verdict.TAMPERED, broken_at)
    assert found.problem


async def test_cut_together_with_its_head_is_found_by_an_anchor(db, clock):
    await write_entries(db, clock, 9)
    older = read_head(db)
    await write_entries(db, clock, 3)
    anchor = (await log_state(db)).checkpoint
    run_sql(db.database, *NO_TRIGGERS, "DELETE FROM audit_entries WHERE seq > 9")
    write_head(db, older)
    assert (await verify(db, KEYRING)).verdict is Verdict.OK
    found = await verify(db, KEYRING, anchor)
    assert (found.verdict, found.broken_at) == (Verdict.TAMPERED, 10)
    assert "entries 10 to 12 were cut off" in found.problem


async def test_history_written_anew_is_found_by_an_anchor(db, clock):
    """The thief of the key signs another history of the same length."""
    await write_entries(db, clock)
    anchor = (await log_state(db)).checkpoint
    run_sql(db.database, *NO_TRIGGERS, "DELETE FROM audit_entries", "DELETE FROM audit_payloads")
    run_sql(db.database, "DELETE FROM audit_head")
    clock.advance(1)
    await write_entries(db, clock)
    assert (await verify(db, KEYRING)).verdict is Verdict.OK
    found = await verify(db, KEYRING, anchor)
    assert found.verdict is Verdict.TAMPERED
    assert "written anew" in found.problem


async def test_older_anchor_is_the_beginning_of_the_log(db, clock):
    await write_entries(db, clock, 5)
    anchor = (await log_state(db)).checkpoint
    await write_entries(db, clock, 5)
    found = await verify(db, KEYRING, anchor)
    assert (found.verdict, found.not_proved) == (Verdict.OK, "")
    assert "The anchor's 5 entries are the beginning of this log." in found.proved


async def test_anchor_of_another_log_proves_nothing(db, clock):
    await write_entries(db, clock)
    found = await verify(db, OTHER_KEYRING, (await log_state(db)).checkpoint)
    assert found.verdict is Verdict.UNPROVABLE
    assert "another log" in found.problem


async def test_log_does_not_verify_with_another_key(db, clock):
    await write_entries(db, clock)
    assert (await verify(db, OTHER_KEYRING)).verdict is Verdict.TAMPERED


async def test_log_verifies_after_a_payload_was_erased(db, clock):
    await write_entries(db, clock)
    async with db.write() as session:
        assert await erase_payload(session, 5) is True
        assert await erase_payload(session, 5) is False
    found = await verify(db, KEYRING)
    assert (found.verdict, found.erased) == (Verdict.OK, 1)
    entries = (await list_entries(db, "shop", after=6, limit=1)).entries
    assert (entries[0].payload, len(entries[0].payload_sha256)) == (None, 64)


async def test_slices_do_not_matter(db, clock, monkeypatch):
    monkeypatch.setattr("queuedeck.domain.audit.verify.SLICE", 4)
    await write_entries(db, clock)
    assert (await verify(db, KEYRING)).size == SIZE


async def test_two_processes_append_without_a_gap(db, place):
    command = [sys.executable, "-m", "tests.support.audit_writer", str(place)]
    start = asyncio.create_subprocess_exec
    writers = [await start(*command, name, "60") for name in ("server", "cli")]
    assert [await writer.wait() for writer in writers] == [0, 0]
    found = await verify(db, KEYRING)
    assert (found.verdict, found.size) == (Verdict.OK, 120)


def read_head(db):
    return run_sql(db.database, "SELECT size, mac, frontier, checkpoint FROM audit_head")[0]


def write_head(db, head):
    run_sql(
        db.database, ("UPDATE audit_head SET size = ?, mac = ?, frontier = ?, checkpoint = ?", head)
    )
