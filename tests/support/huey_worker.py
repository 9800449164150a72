# SPDX-License-Identifier: AGPL-3.0-only
"""A real Huey consumer, with the agent attached as an operator would attach it."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis
from tests.support import spool
from tests.support.celery_worker import BROKER, REPOSITORY, eventually
from tests.support.sender import Sender

from queuedeck_agent import wire

CONSUMER = Path(sys.executable).with_name("huey_consumer")
E = TypeVar("E", bound=wire.Event)
MakeWorker = Callable[..., "Worker"]


class Worker:
    """One consumer with a queue and a spool of its own."""

    module = "tests.support.huey_tasks"

    def __init__(self, folder: Path, storage: str = "redis", **environment: str) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.queue = f"t{uuid.uuid4().hex[:10]}"
        self.environment = {
            "TEST_STORAGE": storage,
            "TEST_PLACE": str(folder / ("huey.db" if storage == "sqlite" else "huey")),
            **environment,
        }
        self.dsn = spool.dsn()
        self.log = folder / "worker.log"
        self.redis = redis.Redis.from_url(BROKER, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.senders: dict[bool, Sender] = {}

    def env(self, attached: bool = True) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "QUEUEDECK_DSN": self.dsn if attached else "",
            "QUEUEDECK_SPOOL": str(self.spool),
            "TEST_QUEUE": self.queue,
            **self.environment,
        }

    def start(self, *options: str, attached: bool = True) -> "Worker":
        """Starts it, and waits until it is ready. Options come before ours."""
        run = ["-m", "queuedeck_agent.cli", "run", "--"] if attached else []
        python = [sys.executable, *run, sys.executable] if attached else [sys.executable]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*python, str(CONSUMER), f"{self.module}.huey",
                 "-w", "2", "-m", "0.2", "-d", "0.05",
                 *options],
                env=self.env(attached), stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        eventually(lambda: "commands are available" in self.text, 30)
        return self

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(20)
            finally:
                self._kill(process.pid)

    def close(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            self._kill(process.pid)
            process.wait(20)
        for sender in self.senders.values():
            sender.close()
        keys: Any = self.redis.keys(f"*{self.queue}*")
        for key in keys:
            self.redis.delete(key)
        self.redis.close()

    def attached(self, expression: str) -> Any:
        """Sends from a process with the agent; gives the expression's value, mostly an id."""
        return self._sender(True)(expression)

    def send(self, expression: str) -> Any:
        """Sends from a process without the agent."""
        return self._sender(False)(expression)

    def _sender(self, attached: bool) -> Sender:
        if attached not in self.senders:
            self.senders[attached] = Sender(self.module, self.env(attached), attached)
        return self.senders[attached]

    def told(self, word: str) -> list[list[str]]:
        """What tasks wrote down themselves."""
        told: Any = self.redis.lrange(f"told:{self.queue}", 0, -1)
        lines = [line.split() for line in told]
        return [line for line in lines if line[0] == word]

    def events(self, kind: type[E], task_id: str = "") -> list[E]:
        """Events in the spool now."""
        found = [event for event in spool.events(self.spool) if isinstance(event, kind)]
        return [one for one in found if task_id in ("", getattr(one, "task_id", ""))]

    def event(self, kind: type[E], task_id: str, seconds: float = 15.0) -> E:
        """The one event of this kind; waits for it."""
        found: list[E] = eventually(lambda: self.events(kind, task_id), seconds)
        assert len(found) == 1, found
        return found[0]

    def kinds(self, task_id: str) -> list[tuple[str, int]]:
        """(kind, attempt) of every event of a task, in order."""
        found = self.events(wire.TaskEvent, task_id)
        return [(type(event).__name__.removeprefix("Task"), event.attempt) for event in found]

    @staticmethod
    def _kill(group: int) -> None:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
