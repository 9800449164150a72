# SPDX-License-Identifier: AGPL-3.0-only
"""What each request asks is asked once, until anything is written, by whatever process."""

import sqlite3

import pytest
from sqlalchemy import text

from queuedeck.db import engine
from queuedeck.db.engine import ControlDb

pytestmark = pytest.mark.usefixtures("_open")


@pytest.fixture
def control(tmp_path):
    return ControlDb(tmp_path / "control.db")


@pytest.fixture
async def _open(control):
    await control.open()
    yield
    await control.close()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def reads(control, asked):
    async def read():
        asked.append("read")
        async with control.read() as session:
            return await session.scalar(text("SELECT max(full_us) FROM login_buckets"))

    return lambda key="k": control.remembered(key, read)


def _write(path, full_us):
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO login_buckets VALUES (?, ?)", (f"key {full_us}", full_us))


async def test_asked_once_while_nothing_changes(control, reads, asked):
    _write(control.database, 1)
    assert [await reads() for _ in range(5)] == [1] * 5
    assert len(asked) == 1
    await reads("another")
    assert len(asked) == 2


async def test_change_by_another_process_is_seen_at_once(control, reads):
    for number in range(1, 5):
        _write(control.database, number)
        assert await reads() == number


async def test_change_of_our_own_is_seen_at_once(control, reads):
    for number in range(1, 5):
        async with control.write() as session:
            await session.execute(text(f"INSERT INTO login_buckets VALUES ('{number}', {number})"))
        assert await reads() == number


async def test_what_was_not_found_is_asked_for_again(reads, asked):
    assert [await reads(), await reads()] == [None, None]
    assert len(asked) == 2


async def test_a_read_that_a_change_overtakes_is_not_remembered(control, asked):
    _write(control.database, 1)

    async def slow():
        asked.append("read")
        _write(control.database, len(asked) + 1)
        return "before the change"

    await control.remembered("k", slow)
    await control.remembered("k", slow)
    assert len(asked) == 2


async def test_nothing_is_remembered_for_long(control, reads, asked, monkeypatch):
    monkeypatch.setattr(engine, "REMEMBER_S", 0.0)
    _write(control.database, 1)
    await reads()
    await reads()
    assert len(asked) == 2
