# SPDX-License-Identifier: AGPL-3.0-only
"""Runs the command line in this process, as its own `main` would."""

import io
import json
import sys
from types import SimpleNamespace

import pytest

from queuedeck.cli import main


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The data folder that the commands use; nothing is in it yet."""
    folder = tmp_path / "data"
    for name in ("HOST", "PORT", "PUBLIC_URL", "SECRET", "LOG_LEVEL"):
        monkeypatch.delenv(f"QUEUEDECK_{name}", raising=False)
    monkeypatch.setenv("QUEUEDECK_DATA", str(folder))
    return folder


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
