# SPDX-License-Identifier: AGPL-3.0-only
"""Sessions: found by their token only, new at each login, over in time."""

import hashlib

import pytest
from tests.support.control import KEYRING, PASSWORD, SHELL, audited, run_sql

from queuedeck.clock import DAY_US, SECOND_US
from queuedeck.domain.accounts.service import create_user
from queuedeck.domain.accounts.sessions import (
    ABSOLUTE_US,
    IDLE_US,
    end_session,
    find_session,
    start_session,
)

DAY_S = DAY_US / SECOND_US


@pytest.fixture
async def ann(db, passwords, clock):
    return await create_user(
        db, KEYRING, passwords, "ann@example.com", "Ann", PASSWORD, SHELL, clock=clock
    )


@pytest.fixture
async def token(db, ann, clock):
    return await start_session(db, KEYRING, ann, ip="10.0.0.1", clock=clock)


async def test_token_finds_its_user(db, token, ann, clock):
    found = await find_session(db, token, clock)
    assert found.user == ann
    assert found.actor("10.0.0.1").auth == f"session:{found.id}"


@pytest.mark.parametrize("wrong", ["", "x", "A" * 43, "\udcff"])
async def test_other_tokens_find_nobody(db, token, clock, wrong):
    assert await find_session(db, wrong, clock) is None


async def test_token_is_stored_as_a_hash_only(db, token):
    assert len(token) == 43
    stored = run_sql(db.database, "SELECT token_hash FROM login_sessions")
    assert stored == [(hashlib.sha256(token.encode()).digest(),)]


async def test_new_login_ends_the_session_that_the_browser_had(db, token, ann, clock):
    fresh = await start_session(db, KEYRING, ann, previous=token, clock=clock)
    assert fresh != token
    assert await find_session(db, token, clock) is None
    assert (await find_session(db, fresh, clock)).user == ann


async def test_logout_ends_the_session_and_is_audited(db, token, clock):
    await end_session(db, KEYRING, token, clock=clock)
    assert await find_session(db, token, clock) is None
    await end_session(db, KEYRING, token, clock=clock)
    assert (await audited(db))[-2:] == [("login", "done"), ("logout", "done")]


async def test_idle_session_is_over(db, token, clock):
    clock.advance(IDLE_US / SECOND_US)
    assert await find_session(db, token, clock) is None


async def test_busy_session_is_over_after_the_absolute_time(db, token, clock):
    for _ in range(int(ABSOLUTE_US / DAY_US * 2) - 1):
        clock.advance(DAY_S / 2)
        assert await find_session(db, token, clock) is not None
    clock.advance(DAY_S / 2)
    assert await find_session(db, token, clock) is None


async def test_last_use_is_written_at_most_every_ten_minutes(db, token, clock):
    def seen_us():
        return run_sql(db.database, "SELECT seen_us FROM login_sessions")[0][0]

    first = seen_us()
    clock.advance(599)
    await find_session(db, token, clock)
    assert seen_us() == first
    clock.advance(1)
    await find_session(db, token, clock)
    assert seen_us() == first + 600 * SECOND_US
