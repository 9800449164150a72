# SPDX-License-Identifier: AGPL-3.0-only
"""A real Celery worker on a real Redis, with the agent attached as an operator would attach it."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis
from celery import Celery
from tests.support import spool

from queuedeck_agent import wire

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
REPOSITORY = Path(__file__).resolve().parents[2]
E = TypeVar("E", bound=wire.Event)


def eventually(check: Callable[[], Any], seconds: float = 15.0) -> Any:
    """The first true answer of `check`."""
    until = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < until, f"not within {seconds} s; last answer: {answer!r}"
        time.sleep(0.05)
    return answer


class Worker:
    """One worker process with a queue and a spool of its own."""

    module = "tests.support.celery_tasks"
    python = sys.executable
    """Of another environment where a test wants another version."""

    def __init__(self, folder: Path, dsn: str = "", environment: dict[str, str] | None = None):
        self.folder = folder
        self.spool = folder / "spool"
        self.queue = f"t{uuid.uuid4().hex[:10]}"
        self.dsn = dsn or spool.dsn()
        self.environment = environment or {}
        self.log = folder / "worker.log"
        self.redis = redis.Redis.from_url(BROKER, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Celery("client", broker=BROKER)
        self.client.conf.task_default_queue = self.queue

    def env(self, attached: bool = True) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "QUEUEDECK_DSN": self.dsn if attached else "",
            "QUEUEDECK_SPOOL": str(self.spool),
            "TEST_QUEUE": self.queue,
            "C_FORCE_ROOT": "1",
            "COLUMNS": "200",
            **self.environment,
        }

    def start(self, *options: str, slots: int = 2) -> "Worker":
        """Starts it, and waits until it is ready."""
        self.launch("-l", "info", *options, slots=slots)
        eventually(lambda: " ready." in self.text, 30)
        return self

    def launch(self, *options: str, slots: int = 2) -> "Worker":
        """Starts it with the log level that Celery has by itself."""
        command = ["-m", "celery", "-A", self.module, "worker"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "queuedeck_agent.cli", "run", "--", self.python,
                 *command, "-c", str(slots), "-n", f"{self.queue}@%h", "--without-mingle",
                 "--without-gossip", *options],
                env=self.env(), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return self

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        for key in self.redis.keys(f"*{self.queue}*"):
            self.redis.delete(key)
        self.redis.close()
        self.client.close()

    def send(self, name: str, *args: Any, **options: Any) -> str:
        """Publishes without an agent in this process."""
        sent = self.client.send_task(f"tests.{name}", args, queue=self.queue, **options)
        return str(sent.id)

    def attached(self, code: str) -> str:
        """Runs code in a process with the agent; gives what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", sys.executable, "-c", code],
            env=self.env(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def result(self, task_id: str) -> Any:
        """What the task returned, by the result backend; waits for it."""
        stored = eventually(lambda: self.redis.get(f"celery-task-meta-{task_id}"))
        return json.loads(stored)["result"]

    def told(self, word: str) -> list[list[str]]:
        """What tasks wrote down themselves."""
        lines = [line.split() for line in self.redis.lrange(f"told:{self.queue}", 0, -1)]
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
        return [(type(event).__name__, event.attempt) for event in found]
