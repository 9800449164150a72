# SPDX-License-Identifier: AGPL-3.0-only
"""A real `queuedeck serve` in processes of its own, its command line and its JSON API."""

import asyncio
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import psutil

from queuedeck.db.engine import ControlDb
from queuedeck.demo.broker import free_port
from queuedeck.demo.children import start
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.projects.service import create_agent_key, create_api_token, create_project
from queuedeck.folder import KEY_NAME
from queuedeck.keyring import load_or_create
from queuedeck.settings import read_settings

START_S = 30
FINAL = {"succeeded", "failed", "cancelled", "lost"}


def eventually(check, seconds=20, every=0.1):
    """The first true answer of `check`; fails with the last answer after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < until, f"not within {seconds} s; last answer: {answer!r}"
        time.sleep(every)


def eventually_none(check, seconds=20, every=0.1):
    """Waits until `check` finds nothing any more; fails with what is left."""
    until = time.monotonic() + seconds
    while left := check():
        assert time.monotonic() < until, f"left after {seconds} s: {left!r}"
        time.sleep(every)


class Server:
    """One data folder and the server on it, which may be killed and started again."""

    def __init__(self, folder, command=(sys.executable, "-m", "queuedeck"), environment=None):
        self.folder = folder
        self.data = folder / "data"
        self.command = list(command)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "QUEUEDECK_DATA": str(self.data),
            "QUEUEDECK_PORT": str(self.port),
            "QUEUEDECK_DSN": "",
            "QUEUEDECK_DATABASE_URL": "",
            **(environment or {}),
        }
        self.database_url = self.environment["QUEUEDECK_DATABASE_URL"]
        self.process = None
        self.apis = []
        """Clients of its projects, closed at its end."""

    def start(self, wait=True):
        self.process = start("server", [*self.command, "serve"], self.folder, self.environment)
        if wait:
            self.wait()
        return self

    def wait(self):
        eventually(self.is_ready, START_S)

    def is_ready(self):
        self.process.check()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self):
        """The end; use `kill` for one that comes back."""
        for api in self.apis:
            api.client.close()
        if self.process:
            self.process.stop()

    def data_process(self):
        """The process that holds the database open: the one that must survive being killed."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        if self.database_url:
            assert len(family) == 1, "one process has the database"
            return family[0]
        holders = [p for p in family if any("history.db" in f.path for f in p.open_files())]
        assert len(holders) == 1, f"{len(holders)} processes hold the history"
        return holders[0]

    def kill(self):
        """SIGKILL for the process with the data, then for what is left; nothing is told."""
        self.data_process().kill()
        self.process.kill()

    def cli(self, *arguments):
        """Run the command line beside the server; its JSON answer."""
        done = subprocess.run(
            [*self.command, *arguments, "--json"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    @property
    def log(self):
        return self.folder / "server.log"


class Api:
    """The JSON API of one project, with a token."""

    def __init__(self, url, project, token):
        self.base = f"{url}/api/v1/projects/{project}"
        self.client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=15)
        self.answers = []
        """Every body that the server sent, for tests that look for a secret."""

    def ask(self, method, path, expect=200, **more):
        answer = self.client.request(method, self.base + path, **more)
        self.answers.append(answer.content)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def tasks(self, question=""):
        found, after = [], ""
        while True:
            page = self.ask("GET", "/tasks", params={"q": question, "limit": 200, "after": after})
            found += page["tasks"]
            after = page["next"]
            if not after:
                return found

    def states(self):
        """Task id -> state."""
        return {task["task_id"]: task["state"] for task in self.tasks()}

    def task(self, task_id):
        return self.ask("GET", f"/tasks/celery/{quote(task_id, safe='')}")

    def totals(self):
        return self.ask("GET", "/totals")

    def audit(self):
        return self.ask("GET", "/audit")["entries"]

    def act(self, task_id, noun):
        path = f"/tasks/celery/{quote(task_id, safe='')}/{noun}"
        return self.ask("POST", path, expect=202)["command"]

    def outcome(self, command, seconds=20):
        """The command once it has ended."""
        path = f"/commands/{command['id']}"

        def ended():
            found = self.ask("GET", path)["command"]
            return found if found["state"] in {"done", "failed", "expired", "unknown"} else None

        return eventually(ended, seconds)


def make_project(server, name):
    """A project with a key and an administrator's token, made beside the running server.

    By the services that the command line calls, without three more processes.
    """
    return asyncio.run(_make_project(server, name))


async def _make_project(server, name):
    settings = read_settings(server.environment)
    keyring = load_or_create(settings.data / KEY_NAME)
    db = ControlDb(settings.control)
    await db.open()
    by = Actor("cli", "test", "test", "shell")
    project = await create_project(db, keyring, name, by)
    key = await create_agent_key(db, keyring, settings, project, by)
    token = await create_api_token(db, keyring, project, Role.ADMIN, by)
    await db.close()
    api = Api(server.url, project.slug, token.token)
    server.apis.append(api)
    return SimpleNamespace(
        slug=project.slug,
        dsn=key.dsn,
        key_id=key.key_id,
        token=token.token,
        api=api,
    )
