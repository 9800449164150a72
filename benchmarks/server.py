# SPDX-License-Identifier: AGPL-3.0-only
"""A real `queuedeck serve` in a process and a folder of its own, with all that a benchmark needs:
a project with an agent key, an API token and a signed-in browser.
"""

import asyncio
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import psutil
from benchmarks.database import history_bytes

from queuedeck import folder
from queuedeck.db.engine import ControlDb
from queuedeck.demo.broker import free_port
from queuedeck.demo.children import Child, start
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.service import create_user
from queuedeck.domain.accounts.sessions import start_session
from queuedeck.domain.projects.service import create_agent_key, create_api_token, create_project
from queuedeck.keyring import load_or_create
from queuedeck.settings import Settings

START_S = 60
BY = Actor("cli", "benchmark", "benchmark", "shell")


class Access(msgspec.Struct, frozen=True):
    """Where the server is and what opens it."""

    url: str
    project: str
    """The slug."""
    project_id: int
    key: str
    """Of agents."""
    token: str
    """Of programs."""
    cookie: str
    """Of a browser, as a header."""

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1/projects/{self.project}"


class Server:
    """One server on a folder; `start` after the folder was filled, if it is to be."""

    def __init__(self, place: Path, database_url: str = "") -> None:
        self._place = place
        self.settings = Settings(data=place / "data", port=free_port(), database_url=database_url)
        folder.prepare(self.settings.data)
        self.access = asyncio.run(_provision(self.settings))
        self._child: Child | None = None

    def start(self) -> float:
        """Milliseconds until it was ready."""
        environment = {
            "QUEUEDECK_DATA": str(self.settings.data),
            "QUEUEDECK_PORT": str(self.settings.port),
            "QUEUEDECK_DSN": "",
            "QUEUEDECK_DATABASE_URL": self.settings.database_url,
        }
        began = time.perf_counter()
        command = [sys.executable, "-m", "queuedeck", "serve"]
        self._child = start("server", command, self._place, environment)
        while not self._is_ready(self._child):
            if time.perf_counter() - began > START_S:
                raise SystemExit(f"The server was not ready after {START_S} s:\n{self.log}")
            time.sleep(0.02)
        return (time.perf_counter() - began) * 1e3

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(60)

    def cpu_s(self) -> float:
        """CPU time of the server so far, all its processes."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(each.user + each.system for each in times)

    def pss_mb(self) -> float:
        return sum(p.memory_full_info().pss for p in self._processes()) / (1 << 20)

    @property
    def log(self) -> str:
        return "" if self._child is None else self._child.tail()

    def history_bytes(self) -> int:
        """The size of the history on disk. Call after `stop`."""
        return history_bytes(self.settings)

    def _processes(self) -> list[psutil.Process]:
        assert self._child is not None
        main = psutil.Process(self._child.pid)
        return [main, *main.children(recursive=True)]

    def _is_ready(self, child: Child) -> bool:
        child.check()
        try:
            with urllib.request.urlopen(f"{self.access.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False


async def _provision(settings: Settings) -> Access:
    keyring = load_or_create(settings.data / folder.KEY_NAME, settings.secret)
    db = ControlDb(settings.control)
    await db.open()
    try:
        project = await create_project(db, keyring, "Shop", BY)
        user = await create_user(
            db, keyring, Passwords(), "b@example.com", "B", "not a secret", BY, projects=(project,)
        )
        made = await create_agent_key(db, keyring, settings, project, BY)
        token = await create_api_token(db, keyring, project, Role.ADMIN, BY)
        session = await start_session(db, keyring, user)
    finally:
        await db.close()
    key = made.dsn.partition("://")[2].partition("@")[0]
    return Access(settings.url, project.slug, project.id, key, token.token, f"queuedeck={session}")
