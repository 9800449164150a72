# SPDX-License-Identifier: AGPL-3.0-only
"""The control database: its files, its pragmas, and writers of two processes at once. What both
databases do the same is tested on both: `place` is a folder, or the URL of a Postgres database.
"""

import asyncio
import stat
import subprocess
import sys

import pytest
from sqlalchemy import text
from tests.support.control import control_db

from queuedeck.db.engine import ControlDb
from queuedeck.errors import Unavailable

INSERT = text("INSERT INTO projects (slug, name, created_us) VALUES (:slug, :slug, 1)")
COUNT = text("SELECT count(*) FROM projects")


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


async def test_files_are_readable_by_their_owner_only(tmp_path):
    async with control_db(tmp_path) as db:
        async with db.write() as session:
            await session.execute(INSERT, {"slug": "shop"})
        modes = {file.name: mode_of(file) for file in db.database.parent.iterdir()}
    assert modes == dict.fromkeys(("control.db", "control.db-wal", "control.db-shm"), 0o600)
    assert mode_of(db.database.parent) == 0o700


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
async def test_connections_have_the_pragma(tmp_path, pragma, value):
    async with control_db(tmp_path) as db, db.read() as session:
        assert await session.scalar(text(f"PRAGMA {pragma}")) == value


async def test_write_is_rolled_back_by_an_exception(place):
    async with control_db(place) as db:
        with pytest.raises(ZeroDivisionError):
            async with db.write() as session:
                await session.execute(INSERT, {"slug": "shop"})
                _ = 1 / 0
        async with db.read() as session:
            assert await session.scalar(COUNT) == 0


async def test_reader_does_not_wait_for_a_writer(place):
    async with control_db(place) as db, db.write() as writer:
        await writer.execute(INSERT, {"slug": "shop"})
        async with asyncio.timeout(2), db.read() as reader:
            assert await reader.scalar(COUNT) == 0


async def test_writers_of_one_process_take_turns(place):
    async def add(db, number):
        async with db.write() as session:
            before = await session.scalar(COUNT)
            await asyncio.sleep(0)
            await session.execute(INSERT, {"slug": f"p{number}"})
            return before

    async with control_db(place) as db:
        seen = await asyncio.gather(*(add(db, number) for number in range(50)))
    assert sorted(seen) == list(range(50))


def test_two_processes_write_without_a_lock_error(place):
    async def count():
        async with control_db(place) as db, db.read() as session:
            return await session.scalar(COUNT)

    assert asyncio.run(count()) == 0
    command = [sys.executable, "-m", "tests.support.project_writer", str(place)]
    writers = [subprocess.Popen([*command, name, "150"]) for name in ("server", "cli")]
    assert [writer.wait(timeout=90) for writer in writers] == [0, 0]
    assert asyncio.run(count()) == 300


async def test_locked_database_is_unavailable_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("queuedeck.db.sqlite._PRAGMAS", ("PRAGMA busy_timeout = 10",))
    async with control_db(tmp_path) as db:
        other = ControlDb(db.database)
        await other.open()
        async with db.write():
            with pytest.raises(Unavailable, match=r"database is locked.*Nothing was changed"):
                async with other.write():
                    pass
        await other.close()


async def test_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be made"):
        await ControlDb(tmp_path / "file" / "control.db").open()


async def test_file_that_is_no_database_is_unavailable(tmp_path):
    (tmp_path / "control.db").write_text("this is not a database, it is a text" * 100)
    with pytest.raises(Unavailable, match="cannot be opened"):
        await ControlDb(tmp_path / "control.db").open()


async def test_closed_database_says_so(tmp_path):
    async with control_db(tmp_path) as db:
        pass
    with pytest.raises(Unavailable, match="not open"):
        async with db.read():
            pass
