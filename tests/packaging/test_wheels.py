# SPDX-License-Identifier: AGPL-3.0-only
"""What is in the wheels, and that they install and run in fresh environments with plain pip."""

import re
import subprocess
import tomllib
import zipfile

import httpx
import pytest
from tests.support.e2e_server import Server
from tests.support.e2e_wheels import REPOSITORY, distributions, make_environment

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(400)]


def test_both_packages_have_one_version():
    server = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    agent = tomllib.loads((REPOSITORY / "agent/pyproject.toml").read_text())["project"]
    assert server["version"] == agent["version"]


def test_alembic_folder_is_no_package():
    assert not (REPOSITORY / "alembic/__init__.py").exists()


def test_server_wheel_carries_its_data(wheels):
    names = set(zipfile.ZipFile(wheels.server).namelist())
    wanted = {
        f"queuedeck/{folder}/{file.relative_to(REPOSITORY / folder)}"
        for folder in ("templates", "static", "alembic")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len(wanted) > 10
    assert wanted <= names


def test_agent_wheel_attaches_by_a_pth_file(wheels):
    assert "queuedeck_agent.pth" in zipfile.ZipFile(wheels.agent).namelist()


def test_wheels_carry_their_licences(wheels):
    texts = {}
    for wheel in (wheels.server, wheels.agent):
        archive = zipfile.ZipFile(wheel)
        file = next(n for n in archive.namelist() if n.endswith("/licenses/LICENSE"))
        texts[wheel] = archive.read(file).decode()
    assert "AFFERO" in texts[wheels.server]
    assert "Apache License" in texts[wheels.agent]


def test_installed_server_prints_its_version(server_environment):
    done = _run([server_environment / "queuedeck", "--version"])
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert version in done.stdout


def test_installed_server_serves_pages_and_files(server_environment, tmp_path):
    server = Server(tmp_path, [str(server_environment / "queuedeck")])
    _run([server_environment / "queuedeck", "migrate"], server.environment)
    assert server.data.joinpath("control.db").exists()
    server.start()
    try:
        page = httpx.get(f"{server.url}/login", follow_redirects=True)
        file = re.search(r'href="(/static/[^"]+\.css)"', page.text).group(1)
        style = httpx.get(server.url + file)
    finally:
        server.stop()
    assert page.status_code == 200
    assert style.status_code == 200
    assert style.headers["content-type"].startswith("text/css")


def test_agent_adds_at_most_five_distributions(wheels, tmp_path):
    python = make_environment(tmp_path / "venv")
    before = distributions(python)
    _run([python.parent / "pip", "install", "-q", wheels.agent])
    added = distributions(python) - before - {"queuedeck-agent"}
    assert len(added) <= 5, added


def _run(command, environment=None):
    import os

    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
