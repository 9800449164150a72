# SPDX-License-Identifier: AGPL-3.0-only
"""Runs the command line in this process, as its own `main` would."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from tests.support.postgres import drop_database, new_database

from queuedeck.cli import main
from queuedeck.settings import read_settings


@pytest.fixture
def kind():
    """Which database; modules whose tests run on both override it."""
    return "sqlite"


@pytest.fixture
def data(kind, tmp_path, monkeypatch):
    """The data folder that the commands use; nothing is in it yet, nor in the database."""
    folder = tmp_path / "data"
    for name in ("HOST", "PORT", "PUBLIC_URL", "SECRET", "LOG_LEVEL", "DATABASE_URL"):
        monkeypatch.delenv(f"QUEUEDECK_{name}", raising=False)
    monkeypatch.setenv("QUEUEDECK_DATA", str(folder))
    if kind == "sqlite":
        yield folder
        return
    url = new_database()
    monkeypatch.setenv("QUEUEDECK_DATABASE_URL", url)
    yield folder
    drop_database(url)


@pytest.fixture
def database(data):
    """What `ControlDb` takes."""
    return read_settings().control


@pytest.fixture
def run(data, monkeypatch, capsys):
    """Run a command; its exit code, what it printed, and the JSON if it was asked for."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["queuedeck", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        answer = json.loads(printed.out) if "--json" in arguments and printed.out else None
        return SimpleNamespace(
            code=ended.value.code, out=printed.out.strip(), err=printed.err.strip(), json=answer
        )

    return run


@pytest.fixture
def shop(run):
    """A project with the slug `shop`."""
    return run("projects", "create", "Shop", "--json").json["project"]
