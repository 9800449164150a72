# SPDX-License-Identifier: AGPL-3.0-only
"""The command itself: help, version, and errors as one line."""

import subprocess
import sys

import pytest

from queuedeck import __version__
from queuedeck.cli import cli


def test_help_names_every_command(run):
    found = run("--help")
    assert found.code == 0
    assert all(name in found.out for name in cli.commands)


def test_version_is_the_packages(run):
    assert run("--version").out == f"queuedeck {__version__}"


def test_help_imports_nothing_heavy():
    heavy = "{'sqlalchemy', 'litestar', 'cryptography', 'argon2', 'alembic', 'granian'}"
    command = (
        "import sys; from queuedeck.cli import cli; cli(['--help'], standalone_mode=False); "
        f"sys.exit(bool({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["bogus"], 2, "No such command 'bogus'"),
        (["createuser"], 2, "Missing argument 'EMAIL'. Try: queuedeck createuser --help"),
        (["tokens", "create", "shop", "--role", "king"], 2, "'king' is not one of 'owner'"),
        (["keys", "list", "shop"], 1, "There is no Queuedeck data in"),
    ],
)
def test_mistake_is_answered_with_one_line(run, data, arguments, code, says):
    found = run(*arguments)
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith("queuedeck: ")
    assert says in found.err
    assert len(found.err.splitlines()) == 1
    assert not data.exists()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("QUEUEDECK_PORT", "http", "not a port number"),
        ("QUEUEDECK_SECRET", "short", "64 hexadecimal digits"),
        ("QUEUEDECK_PUBLIC_URL", "deck", "write it as https://"),
        ("QUEUEDECK_PUBLIC_URL", "https://[::1", "write it as https://"),
        ("QUEUEDECK_PUBLIC_URL", "https://deck:port", "write it as https://"),
        ("QUEUEDECK_PUBLIC_URL", "https://ann@deck", "write it as https://"),
        ("QUEUEDECK_PUBLIC_URL", "https://deck/?x=1", "write it as https://"),
    ],
)
def test_setting_that_cannot_be_used_is_named(run, monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    found = run("projects", "create", "Shop")
    assert found.code == 1
    assert variable in found.err
    assert says in found.err
    assert "Traceback" not in found.err


def test_public_url_of_the_command_line_is_checked_too(run, data):
    found = run("serve", "--public-url", "deck")
    assert (found.code, "write it as https://" in found.err) == (1, True)
    assert not data.exists()


def test_database_that_is_none_is_one_line(run, data):
    data.mkdir()
    (data / "control.db").write_text("not a database " * 1_000)
    found = run("projects", "list")
    assert found.code == 1
    assert "cannot be opened" in found.err
    assert "Traceback" not in found.err


def test_what_nobody_foresaw_is_one_line_too(run, shop, monkeypatch):
    async def surprise(_db):
        raise RuntimeError("boom")

    monkeypatch.setattr("queuedeck.domain.projects.queries.list_projects", surprise)
    found = run("projects", "list")
    assert (found.code, found.out) == (1, "")
    assert "RuntimeError: boom" in found.err
    assert "Traceback" not in found.err
