# SPDX-License-Identifier: AGPL-3.0-only
"""The control store on Postgres: its tables, what it does when the database is away, and that only
one server has it.
"""

import asyncio
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.support import postgres
from tests.support.control import KEYRING, SHELL, control_db, new_place, run_sql

import queuedeck.domain.accounts.models
import queuedeck.domain.audit.models
import queuedeck.domain.commands.models
import queuedeck.domain.operations.models
import queuedeck.domain.projects.models
import queuedeck.domain.queues.models  # noqa: F401
from queuedeck.db import hold as holds
from queuedeck.db.base import Base
from queuedeck.db.engine import ControlDb, revision_of
from queuedeck.db.hold import hold
from queuedeck.db.migrate import HEAD
from queuedeck.db.postgres import connect
from queuedeck.domain.audit.verify import Verdict, verify
from queuedeck.domain.projects.service import create_project
from queuedeck.errors import Conflict, Unavailable

COUNT = text("SELECT count(*) FROM projects")
OPEN = (
    "import asyncio, sys; from queuedeck.db.engine import ControlDb\n"
    "async def main(db):\n    await db.open(); await db.close()\n"
    "asyncio.run(main(ControlDb(sys.argv[1])))\n"
)


@pytest.fixture
def url(tmp_path):
    """A database with the tables."""
    with new_place("postgres", tmp_path) as made:
        yield made


@pytest.fixture
def empty():
    made = postgres.new_database()
    yield made
    postgres.drop_database(made)


@pytest.fixture
def cluster():
    """A Postgres that may be broken."""
    made = postgres.Cluster().start()
    yield made
    made.remove()


async def make(db, name):
    return (await create_project(db, KEYRING, name, SHELL)).slug


async def test_tables_are_those_of_the_models(url):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda *_: connect(url))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_nothing_is_made_outside_the_schema(empty):
    async with control_db(empty):
        pass
    rows = run_sql(
        empty,
        "SELECT DISTINCT schemaname FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    assert rows == [("control",)]


def test_starts_at_the_same_time_wait_for_each_other(empty):
    assert asyncio.run(revision_of(empty)) == ""
    starts = [subprocess.Popen([sys.executable, "-c", OPEN, empty]) for _ in range(3)]
    assert [start.wait(timeout=60) for start in starts] == [0, 0, 0]
    assert asyncio.run(revision_of(empty)) == HEAD


async def test_user_without_the_right_to_make_schemas_needs_one_made_for_it(empty):
    name = postgres.name_of(empty)
    role = f"poor_{name}"
    postgres.execute(empty, f'CREATE ROLE "{role}" LOGIN')
    poor = empty.replace("//", f"//{role}@").replace("postgres@", "", 1).replace("root@", "", 1)
    try:
        with pytest.raises(Unavailable, match="permission denied"):
            await ControlDb(poor).open()
        postgres.execute(empty, f'CREATE SCHEMA control AUTHORIZATION "{role}"')
        async with control_db(poor) as db:
            assert await make(db, "Shop") == "shop"
    finally:
        postgres.execute(empty, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


async def test_write_waits_for_another_process_for_a_while_only(url):
    blocker = await connect(url)
    async with control_db(url) as db, blocker.transaction():
        await blocker.execute("SELECT pg_advisory_xact_lock(1363428675, 2)")
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match=r"lock timeout.*Nothing was changed"):
            await make(db, "Shop")
        assert asyncio.get_running_loop().time() - began >= 4
        async with db.read() as session:
            assert await session.scalar(COUNT) == 0
    await blocker.close()


async def test_reader_sees_one_state_until_it_ends(url):
    async with control_db(url) as db, db.read() as session:
        assert await session.scalar(COUNT) == 0
        await make(db, "Shop")
        assert await session.scalar(COUNT) == 0


async def test_reader_cannot_write(url):
    async with control_db(url) as db:
        with pytest.raises(Unavailable, match="read-only transaction"):
            async with db.read() as session:
                await session.execute(text("DELETE FROM projects"))


async def test_text_that_postgres_cannot_hold_is_stored_without_it(url):
    async with control_db(url) as db, db.write() as session:
        await session.execute(
            Base.metadata.tables["projects"].insert().values(slug="a\0b", name="x", created_us=1)
        )
        assert await session.scalar(text("SELECT slug FROM projects")) == "a\ufffdb"


async def test_database_that_goes_away_is_told_and_comes_back_by_itself(cluster):
    async with control_db(cluster.database()) as db:
        await asyncio.gather(*(make(db, f"Early {n}") for n in range(5)))
        cluster.stop("immediate")
        for ask in (db.read, db.write):
            with pytest.raises(Unavailable, match=r"now \(.+\)\."):
                async with ask() as session:
                    await session.scalar(COUNT)
        cluster.start()
        # Each at the first try: dead connections of the pool are not handed out.
        slugs = [await make(db, f"Late {n}") for n in range(5)]
        assert slugs[-1] == "late-4"
        assert (await verify(db, KEYRING)).verdict is Verdict.OK


async def test_write_that_is_cut_off_is_undone(cluster):
    async with control_db(cluster.database()) as db:
        with pytest.raises(Unavailable, match="Nothing was changed"):
            async with db.write() as session:
                await session.execute(text("INSERT INTO projects VALUES (1, 'a', 'a', 1)"))
                cluster.restart_immediately()
                await session.scalar(COUNT)
        async with db.read() as session:
            assert await session.scalar(COUNT) == 0


async def test_password_is_in_no_message(cluster):
    url = cluster.url.replace("postgres@", "postgres:s3cret@").removesuffix("postgres") + "nowhere"
    with pytest.raises(Unavailable, match='database "nowhere" does not exist') as refused:
        await ControlDb(url).open()
    cluster.stop()
    with pytest.raises(Unavailable, match="cannot be opened") as away:
        await ControlDb(url).open()
    assert "s3cret" not in refused.value.message + away.value.message


async def test_second_server_is_told_who_has_the_database(url, monkeypatch):
    monkeypatch.setattr(holds, "WAIT_S", 0.1)
    async with hold(url) as taken_away:
        with pytest.raises(Conflict, match=r"in use by another Queuedeck server \(on host .+proc"):
            async with hold(url):
                pass
        assert not taken_away.is_set()
    async with hold(url):
        pass


async def test_hold_is_taken_again_after_a_restart(cluster, monkeypatch):
    monkeypatch.setattr(holds, "WAIT_S", 0.1)
    url = cluster.database()
    async with hold(url) as taken_away:
        cluster.restart_immediately()
        await asyncio.wait_for(_until(lambda: _held(url)), 20)
        assert not taken_away.is_set()


async def test_server_that_lost_the_database_to_another_hears_it(cluster, monkeypatch):
    monkeypatch.setattr(holds, "AGAIN_S", 0.5)
    url = cluster.database()
    async with hold(url) as taken_away:
        cluster.restart_immediately()
        async with hold(url):
            await asyncio.wait_for(taken_away.wait(), 20)


async def _held(url):
    try:
        async with hold(url):
            return False
    except Conflict:
        return True


async def _until(check):
    while not await check():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.05)


def test_driver_is_not_imported_for_a_file():
    command = "import sys; import queuedeck.db.engine; sys.exit('asyncpg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], timeout=60).returncode == 0
