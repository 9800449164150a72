# SPDX-License-Identifier: AGPL-3.0-only
"""The processes of one run: broker, server, a worker for each engine, Celery's scheduler and the
shop's website; started and stopped."""

import contextlib
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from types import TracebackType

from queuedeck.demo.broker import free_port, is_free, start_broker
from queuedeck.demo.children import Child, start
from queuedeck.demo.client import Client
from queuedeck.demo.engines import PARTS, SHOP, Part, beat
from queuedeck.demo.provision import Provisioned, login_link, provision
from queuedeck.errors import Unavailable
from queuedeck.settings import DEFAULT_PORT, Settings

SERVER_START_S = 30.0
READY_EVERY_S = 0.1
ALLOW = "observe,retry,cancel,pause,terminate,priority,move,purge,submit,worker"
"""The demo's host permits everything."""


class Stage:
    """Use as a context manager: whatever was started is stopped at the end, in order."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.settings = Settings(data=folder / "data", port=port or _port())
        self.url = self.settings.url
        self.email = "demo@localhost"
        self.password = secrets.token_urlsafe(9)
        self.broker_url = ""
        self.missing: dict[str, str] = {}
        """Engine of the shop that does not run -> why, half a sentence."""
        self._children: list[Child] = []
        self._workers: dict[str, Child] = {}
        self._publishers: list[Child] = []
        self._made: Provisioned | None = None

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def made(self) -> Provisioned:
        if self._made is None:
            raise Unavailable("The demo has not been started.")
        return self._made

    @property
    def client(self) -> Client:
        return Client(self.url, self.made.project, self.made.token)

    @property
    def broker_name(self) -> str:
        return "redis-server" if "@" in self.broker_url else "fakeredis (no redis-server found)"

    @property
    def parts(self) -> list[Part]:
        """The parts of the shop that run."""
        return [part for part in PARTS if part.engine not in self.missing]

    def start(self, later_s: float) -> None:
        """Start everything; the server takes requests by then, workers may still be starting.

        What the shop sends for later is due `later_s` after it was sent.
        """
        self.missing = {part.engine: part.lacks for part in PARTS if part.lacks}
        if not self.parts:
            raise Unavailable("None of the engines is there: pip install 'queuedeck[demo]'.")
        if not is_free(self.settings.port):
            raise Unavailable(f"Port {self.settings.port} is taken. Choose another with --port.")
        shutil.copytree(SHOP, self.folder / SHOP.name, ignore=shutil.ignore_patterns("__pycache__"))
        broker, self.broker_url = start_broker(self.folder)
        self._children.append(broker)
        self._made = provision(self.settings, self.email, self.password)
        self._start("server", [sys.executable, "-m", "queuedeck", "serve"], self._server_env())
        self._wait_for_server()
        for part in self.parts:
            self._workers[part.engine] = self._attached(f"{part.engine}-worker", part.worker)
        if "celery" in self._workers:
            self._publishers.append(self._attached("celery-beat", beat(self.folder)))
        website = [sys.executable, "-m", "website", "--later-s", str(later_s), *self._workers]
        self._publishers.append(self._attached("website", website))

    def link(self) -> str:
        """A link that logs in, once."""
        return login_link(self.settings, self.made.user)

    def check(self) -> list[str]:
        """Raise `Unavailable` with the end of its log if a process has ended by itself. A worker is
        no reason to end: a sentence for each that has ended since the last call."""
        ended = [engine for engine, one in self._workers.items() if not one.is_running()]
        for engine in ended:
            child = self._workers.pop(engine)
            self._children.remove(child)
            child.kill()
            last = (child.tail().splitlines() or ["its log is empty"])[-1]
            self.missing[engine] = f"its worker ended: {last}"
        for child in self._children:
            child.check()
        return [f"{engine} does not run: {self.missing[engine]}." for engine in ended]

    def stop_publishers(self) -> None:
        """End website and beat: only tasks, and the schedules of Huey and arq, send after this."""
        for child in self._publishers:
            child.ask_to_stop()
        while self._publishers:
            child = self._publishers.pop()
            child.stop()
            self._children.remove(child)

    def stop(self) -> None:
        """Publishers first, then the workers together, then the server, the broker last."""
        try:
            self.stop_publishers()
            for worker in self._workers.values():
                worker.ask_to_stop()
            for child in reversed(self._children):
                child.stop()
        finally:
            for child in self._children:
                with contextlib.suppress(OSError):
                    child.kill()

    def _wait_for_server(self) -> None:
        until = time.monotonic() + SERVER_START_S
        while not self.client.is_ready():
            self.check()
            if time.monotonic() > until:
                raise Unavailable(f"The server did not answer within {SERVER_START_S:.0f} s.")
            time.sleep(READY_EVERY_S)
        self.check()

    def _attached(self, name: str, command: list[str]) -> Child:
        """Start a process of the shop through the agent's launcher, as a user would."""
        agent = str(Path(sys.executable).with_name("queuedeck-agent"))
        return self._start(name, [agent, "run", "--", *command], self._shop_env())

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> Child:
        child = start(name, command, self.folder, environment)
        self._children.append(child)
        return child

    def _server_env(self) -> dict[str, str]:
        return {
            "QUEUEDECK_DATA": str(self.settings.data),
            "QUEUEDECK_HOST": self.settings.host,
            "QUEUEDECK_PORT": str(self.settings.port),
            "QUEUEDECK_PUBLIC_URL": "",
            "QUEUEDECK_SECRET": "",
            "QUEUEDECK_DSN": "",
            "QUEUEDECK_DATABASE_URL": "",
        }

    def _shop_env(self) -> dict[str, str]:
        shop = str(self.folder / SHOP.name)
        return {
            "SHOP_BROKER": self.broker_url,
            "RQ_REDIS_URL": self.broker_url,
            "PYTHONPATH": os.pathsep.join(filter(None, (shop, os.environ.get("PYTHONPATH")))),
            "QUEUEDECK_DSN": self.made.dsn,
            "QUEUEDECK_DSN_PREVIOUS": "",
            "QUEUEDECK_ALLOW": ALLOW,
            "QUEUEDECK_SPOOL": str(self.folder / "spool"),
            "PYTHONUNBUFFERED": "1",
        }


def _port() -> int:
    """The usual port when nobody has it, else any free one."""
    return DEFAULT_PORT if is_free(DEFAULT_PORT) else free_port()
