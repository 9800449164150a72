# SPDX-License-Identifier: AGPL-3.0-only
"""The administration commands while the server runs: both write the same log, without a gap."""

import asyncio
import json
import os
import sys

import pytest
from tests.support.control import SHELL

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.audit.verify import Verdict, verify
from queuedeck.domain.projects.queries import find_api_token, find_project
from queuedeck.domain.projects.service import create_api_token
from queuedeck.settings import Settings


@pytest.fixture
def settings(place, tmp_path):
    """Both databases."""
    url = "" if place == tmp_path else place
    return Settings(data=tmp_path / "data", port=0, database_url=url)


async def queuedeck(settings, *arguments):
    """Run a command in its own process; its exit code and JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "queuedeck", *arguments, "--data", str(settings.data), "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "QUEUEDECK_DATABASE_URL": settings.database_url},
    )
    out, _ = await process.communicate()
    return process.returncode, json.loads(out)


async def test_commands_and_server_write_at_the_same_time(serving, settings):
    services = serving.services
    db = services.control
    code, made = await queuedeck(settings, "projects", "create", "Till")
    assert (code, made["project"]["slug"]) == (0, "till")
    till = await find_project(db, "till")

    async def write_in_the_server():
        for _ in range(60):
            await create_api_token(db, services.keyring, till, Role.VIEWER, SHELL)

    commands = [
        queuedeck(settings, "tokens", "create", "till", "--role", "viewer") for _ in range(3)
    ]
    (*answers, _) = await asyncio.gather(*commands, write_in_the_server())
    for code, made in answers:
        assert code == 0
        assert (await find_api_token(db, made["token"])).slug == "till"
    found = await verify(db, services.keyring)
    assert (found.verdict, found.size >= 64) == (Verdict.OK, True)
