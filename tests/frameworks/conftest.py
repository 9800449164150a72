# SPDX-License-Identifier: AGPL-3.0-only
"""Real applications in processes of their own, a real broker, a real Queuedeck server."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from tests.support.e2e_broker import find_or_start
from tests.support.e2e_server import Server, eventually, make_project

from queuedeck.demo.broker import free_port
from queuedeck.demo.children import start

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory):
    url, process = find_or_start(tmp_path_factory.mktemp("broker"))
    yield url
    if process:
        process.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("frameworks")


@pytest.fixture(scope="module")
def server(folder):
    server = Server(folder).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def project(server):
    return make_project(server, "Shop")


RAN = ["task-published", "task-started", "task-succeeded"]


def kinds(known):
    """What happened to a task, in order; Celery alone tells when a worker has received it."""
    return [entry["kind"] for entry in known["timeline"] if entry["kind"] != "task-received"]


class Shop:
    """Processes of one application. They know the DSN by the application's own settings, unless
    `attached` says otherwise.
    """

    def __init__(self, folder, broker_url, project, app_folder):
        self.folder = folder
        self.api = project.api
        self.app_folder = app_folder
        self.dsn = project.dsn
        self.environment = {
            "PYTHONPATH": f"{app_folder}:{HERE.parents[1]}",
            "PYTHONUNBUFFERED": "1",
            "SHOP_BROKER": broker_url,
            "SHOP_SPOOL": str(folder / "spool"),
            "SHOP_DATABASE": str(folder / "shop.sqlite3"),
            "SHOP_DSN": project.dsn,
            "C_FORCE_ROOT": "1",
        }
        for name in [name for name in os.environ if name.startswith("QUEUEDECK_")]:
            self.environment[name] = ""
        self.children = []
        self.clients = []

    def start(self, name, *command, **more):
        """A process; `command` is what follows the interpreter."""
        child = start(name, [sys.executable, *command], self.folder, self.environment | more)
        self.children.append(child)
        return child

    def run(self, name, *command, **more):
        """A process that ends by itself: its exit code."""
        child = self.start(name, *command, **more)
        return child._process.wait(60)

    def serve(self, name, *command, **more):
        """A web server; `PORT` in the command is replaced. A client of it."""
        port = str(free_port())
        child = self.start(name, *(word.replace("PORT", port) for word in command), **more)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.clients.append(client)

        def answers():
            child.check()
            try:
                return client.get("/is-it-there")
            except httpx.TransportError:
                return None

        eventually(answers, 40)
        return SimpleNamespace(post=client.post, client=client, child=child, log=child.log)

    def until(self, child, text, seconds=40):
        eventually(lambda: child.check() or text in child.log.read_text(), seconds)

    def ended(self, engine, task_id):
        """What the server knows of a task once both have told: who sent it, and who ran it."""

        def found():
            answer = self.api.client.get(f"{self.api.base}/tasks/{engine}/{task_id}")
            self.api.answers.append(answer.content)
            known = answer.json() if answer.status_code == 200 else None
            return known if known and {*RAN} <= {*kinds(known)} else None

        return eventually(found, 40)

    def stop(self):
        for client in self.clients:
            client.close()
        for child in reversed(self.children):
            child.stop()


@pytest.fixture(scope="module")
def make_shop(folder, broker_url, project):
    made = []

    def make(name):
        made.append(Shop(folder, broker_url, project, HERE / name))
        return made[-1]

    yield make
    for shop in made:
        shop.stop()
