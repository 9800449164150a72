# SPDX-License-Identifier: AGPL-3.0-only
"""A real Dramatiq worker on a real Redis, with the agent attached as operators attach it."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.message import Message
from tests.support import spool
from tests.support.celery_worker import BROKER, REPOSITORY, eventually

from queuedeck_agent import wire

E = TypeVar("E", bound=wire.Event)
MakeWorker = Callable[..., "Worker"]


class Worker:
    """One `dramatiq` command with a namespace, a queue and a spool of its own."""

    module = "tests.support.dramatiq_tasks"

    def __init__(self, folder: Path, environment: dict[str, str] | None = None):
        self.folder = folder
        self.spool = folder / "spool"
        self.queue = f"t{uuid.uuid4().hex[:10]}"
        self.environment = environment or {}
        self.log = folder / "worker.log"
        self.redis = redis.Redis.from_url(BROKER, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.client = RedisBroker(url=BROKER, namespace=self.queue)

    def env(self, attached: bool = True) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "QUEUEDECK_DSN": spool.dsn() if attached else "",
            "QUEUEDECK_SPOOL": str(self.spool),
            "TEST_QUEUE": self.queue,
            "dramatiq_worker_timeout": "100",
            **self.environment,
        }

    def start(
        self, *options: str, processes: int = 1, threads: int = 2, green: bool = False
    ) -> "Worker":
        """Starts it, and waits until all its processes are ready."""
        program = [str(Path(sys.executable).with_name("dramatiq-gevent"))] if green else []
        command = [*(program or ["-m", "dramatiq"]), self.module]
        command += ["-p", str(processes), "-t", str(threads)]
        before = self.text.count("ready for action") if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", sys.executable,
                 *command, *options],
                env=self.env(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        eventually(lambda: self.text.count("ready for action") >= before + processes, 30)
        return self

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """To the command, which tells its processes; a kill is for all of them."""
        process, self.process = self.process, None
        if process is None:
            return
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        process.wait(30)

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        for key in self.redis.keys(f"*{self.queue}*"):
            self.redis.delete(key)
        self.redis.close()
        self.client.close()

    def send(self, name: str, *args: Any, delay: int | None = None, **options: Any) -> str:
        """Publishes without an agent in this process."""
        kwargs = options.pop("kwargs", {})
        message = Message(self.queue, f"tests.{name}", args, kwargs, options)
        self.client.enqueue(message, delay=delay)
        return message.message_id

    def attached(self, code: str) -> str:
        """Runs code in a process with the agent; gives what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", sys.executable, "-c",
             f"from {self.module} import *; {code}"],
            env=self.env(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def told(self, word: str) -> list[list[str]]:
        """What tasks wrote down themselves."""
        lines = [line.split() for line in self.redis.lrange(f"told:{self.queue}", 0, -1)]
        return [line for line in lines if line[0] == word]

    def waiting(self) -> int:
        """Messages that no worker has taken."""
        return int(self.redis.llen(f"{self.queue}:{self.queue}"))

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
