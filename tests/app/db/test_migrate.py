# SPDX-License-Identifier: AGPL-3.0-only
"""Migrations: the tables are those of the models, and a file at head costs nothing."""

import subprocess
import sys
import threading

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

import queuedeck.domain.accounts.models
import queuedeck.domain.audit.models
import queuedeck.domain.commands.models
import queuedeck.domain.labels.models
import queuedeck.domain.operations.models
import queuedeck.domain.projects.models
import queuedeck.domain.queues.models  # noqa: F401
from queuedeck import paths
from queuedeck.db import migrate, sqlite
from queuedeck.db.base import Base


def test_head_is_the_newest_revision():
    config = Config(str(paths.ALEMBIC / "alembic.ini"))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_migrated_file_has_the_tables_of_the_models(tmp_path):
    file = tmp_path / "control.db"
    sqlite.upgrade(file)
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []


def test_new_file_has_no_revision(tmp_path):
    file = tmp_path / "control.db"
    assert sqlite.is_at_head(file) is False
    file.touch()
    assert sqlite.current(file) == ""


def test_upgrade_twice_changes_nothing(tmp_path):
    file = tmp_path / "control.db"
    sqlite.upgrade(file)
    sqlite.upgrade(file)
    assert sqlite.is_at_head(file)


def test_upgrades_at_the_same_time_wait_for_each_other(tmp_path):
    file = tmp_path / "control.db"
    command = (
        f"from queuedeck.db import sqlite; from pathlib import Path; "
        f"sqlite.upgrade(Path({str(file)!r}))"
    )
    starts = [subprocess.Popen([sys.executable, "-c", command]) for _ in range(3)]
    assert [start.wait(timeout=60) for start in starts] == [0, 0, 0]
    assert sqlite.is_at_head(file)


def test_start_at_head_does_not_import_alembic(tmp_path):
    sqlite.upgrade(tmp_path / "control.db")
    command = (
        "import asyncio, sys; from pathlib import Path\n"
        "from queuedeck.db.engine import ControlDb\n"
        "async def main(path):\n"
        "    db = ControlDb(path); await db.open(); await db.close()\n"
        f"asyncio.run(main(Path({str(tmp_path / 'control.db')!r})))\n"
        "sys.exit('alembic.command' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", command], timeout=60).returncode == 0


def test_alembic_folder_is_no_package():
    """With an __init__.py it would hide the library from whoever runs in the checkout."""
    assert list(paths.ALEMBIC.rglob("__init__.py")) == []


def test_no_thread_is_left(tmp_path):
    before = threading.active_count()
    sqlite.upgrade(tmp_path / "control.db")
    assert threading.active_count() == before
