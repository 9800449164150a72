# SPDX-License-Identifier: AGPL-3.0-only
"""A real taskiq worker on a real Redis, with the agent attached as operators attach it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis
from taskiq.kicker import AsyncKicker
from tests.support import (
    spool,
    taskiq_pins,  # noqa: F401 - before taskiq_redis
)
from tests.support.celery_worker import BROKER, REPOSITORY, eventually

from queuedeck_agent import wire

from taskiq_redis import ListQueueBroker  # isort: skip

E = TypeVar("E", bound=wire.Event)
MakeWorker = Callable[..., "Worker"]


class Worker:
    """One `taskiq worker` command with a queue and a spool of its own."""

    module = "tests.support.taskiq_tasks"

    def __init__(self, folder: Path, environment: dict[str, str] | None = None):
        self.folder = folder
        self.spool = folder / "spool"
        self.queue = f"t{uuid.uuid4().hex[:10]}"
        self.environment = environment or {}
        self.log = folder / "worker.log"
        self.redis = redis.Redis.from_url(BROKER, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "QUEUEDECK_DSN": spool.dsn(),
            "QUEUEDECK_SPOOL": str(self.spool),
            "TEST_QUEUE": self.queue,
            **self.environment,
        }

    def start(self, *options: str, processes: int = 1) -> "Worker":
        """Starts it, and waits until all its processes listen."""
        command = ["-m", "taskiq", "worker", f"{self.module}:broker", "-w", str(processes)]
        before = self.listening()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", sys.executable,
                 *command, *options],
                env=self.env(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        eventually(lambda: self.listening() >= before + processes, 30)
        return self

    def listening(self) -> int:
        return self.text.count("Listening started") if self.log.exists() else 0

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """To the manager, which tells its processes; a kill is for all of them."""
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

    def send(self, name: str, *args: Any, **options: Any) -> str:
        """Publishes without an agent in this process. `options` are labels."""
        kwargs = options.pop("kwargs", {})

        async def kick() -> str:
            broker = ListQueueBroker(BROKER, queue_name=self.queue)
            kicker: Any = AsyncKicker(f"tests.{name}", broker, options)
            sent = await kicker.kiq(*args, **kwargs)
            await broker.shutdown()
            return str(sent.task_id)

        return asyncio.run(kick())

    def attached(self, code: str) -> str:
        """Runs the body of a coroutine in a process with the agent; gives what it printed."""
        body = "\n    ".join(code.splitlines())
        program = (
            f"import asyncio\nfrom {self.module} import *\n"
            "async def main():\n    await broker.startup()\n"
            f"    {body}\n    await broker.shutdown()\n"
            "asyncio.run(main())"
        )
        done = subprocess.run(
            [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", sys.executable, "-c",
             program],
            env=self.env(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def told(self, word: str) -> list[list[str]]:
        """What tasks wrote down themselves."""
        lines = [line.split() for line in self.redis.lrange(f"told:{self.queue}", 0, -1)]
        return [line for line in lines if line[0] == word]

    def waiting(self) -> list[str]:
        """Ids of the messages that no worker has taken, the oldest last."""
        return [json.loads(one)["task_id"] for one in self.redis.lrange(self.queue, 0, -1)]

    def results(self) -> int:
        """Results that taskiq has stored."""
        return len(self.redis.keys(f"{self.queue}:*"))

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
