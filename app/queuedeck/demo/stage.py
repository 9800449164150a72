# SPDX-License-Identifier: AGPL-3.0-only
"""The processes of one run: server, broker, worker, scheduler, producer; started and stopped."""

import contextlib
import secrets
import sys
import time
from pathlib import Path
from types import TracebackType

from queuedeck.demo.broker import free_port, is_free, start_broker
from queuedeck.demo.children import Child, start
from queuedeck.demo.client import Client
from queuedeck.demo.provision import Provisioned, login_link, provision
from queuedeck.errors import Unavailable
from queuedeck.settings import DEFAULT_PORT, Settings

SLOTS = 2
"""Pool children of the worker."""
SERVER_START_S = 30.0
READY_EVERY_S = 0.1
ALLOW = "observe,retry,cancel,pause,terminate,purge,submit,schedule"
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
        self._children: list[Child] = []
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

    def start(self, later_s: float) -> None:
        """Start everything and wait until the server takes requests.

        The shop's reminders and requests for a review are due `later_s` after they were sent.
        """
        broker, self.broker_url = start_broker(self.folder)
        self._children.append(broker)
        self._made = provision(self.settings, self.email, self.password)
        self._start("server", [sys.executable, "-m", "queuedeck", "serve"], self._server_env())
        celery = [sys.executable, "-m", "celery", "-A", "queuedeck.demo.shop"]
        self._attached("worker", [*celery, "worker", "-c", str(SLOTS), "-l", "info"])
        beat = [*celery, "beat", "-l", "info", "-s", str(self.folder / "beat")]
        self._publishers.append(self._attached("scheduler", beat))
        producer = [sys.executable, "-m", "queuedeck.demo.producer"]
        later = ["--later-s", str(later_s)]
        self._publishers.append(self._attached("producer", [*producer, *later]))
        self._wait_for_server()

    def link(self) -> str:
        """A link that logs in, once."""
        return login_link(self.settings, self.made.user)

    def check(self) -> None:
        """Raise `Unavailable` with the end of its log if a process has ended by itself."""
        for child in self._children:
            child.check()

    def stop_publishers(self) -> None:
        """End the producer and the scheduler: nothing new is sent after this."""
        while self._publishers:
            child = self._publishers.pop()
            child.stop()
            self._children.remove(child)

    def stop(self) -> None:
        """Producers first, then the worker, then the server, the broker last."""
        try:
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
        }

    def _shop_env(self) -> dict[str, str]:
        return {
            "CELERY_BROKER_URL": self.broker_url,
            "CELERY_RESULT_BACKEND": self.broker_url,
            "QUEUEDECK_DSN": self.made.dsn,
            "QUEUEDECK_DSN_PREVIOUS": "",
            "QUEUEDECK_ALLOW": ALLOW,
            "QUEUEDECK_SPOOL": str(self.folder / "spool"),
            "PYTHONUNBUFFERED": "1",
        }


def _port() -> int:
    """The usual port when nobody has it, else any free one."""
    return DEFAULT_PORT if is_free(DEFAULT_PORT) else free_port()
